"""Packed sampling: many prompts of many runs, one fixed batch size, one seed an image.

Image i of any prompt starts from the latents of (seed, "latents", i): the same noise under every
prompt and every run, so that conditions can be compared picture by picture. A batch may hold
pictures of different runs: each is drawn with its own token rows and its own adapters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, SchedulerMixin, StableDiffusionPipeline
from torch import Tensor, nn

from helpers import tokens
from helpers.arithmetic import arithmetic_for, computed
from helpers.config import SamplingConfig
from helpers.lora import Adapters, attached
from helpers.models import image_size, through_vae
from helpers.plan import generator

ORIGINAL = -1
"""The run of a picture that the model draws as it was."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What R runs learned; each part may be missing."""

    rows: tuple[Tensor, ...] = ()
    """R tensors [K, D], whose number of vectors may differ."""
    unet: Adapters = field(default_factory=dict)
    """[R, ...] adapters of the UNet."""
    text: Adapters = field(default_factory=dict)
    """[R, ...] adapters of the text encoder."""
    scale: float = 1.0
    """alpha / rank, times a LoRA scale for inference."""


def initial_latents(shape: tuple[int, int, int], *, indices: Sequence[int], seed: int) -> Tensor:
    """Standard normal latents [N, C, h, w] on the CPU, row n from the generator of image indices[n]."""
    draws = [torch.randn(shape, generator=generator(seed, "latents", index)) for index in indices]
    return torch.stack(draws)


def sample(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    indices: Sequence[int],
    config: SamplingConfig,
    learned: Learned | None = None,
    runs: Sequence[int] | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """Draw one image a prompt, as `StableDiffusionPipeline.__call__` would from the same latents.

    Args:
        pipeline: supplies tokenizer, text encoder, UNet, VAE and noise schedule.
        prompts: N texts, with S* where rows are meant; repeated texts of a run are encoded once.
        indices: N image indices, which choose the initial latents.
        config: solver, its steps, guidance, batch size and seed.
        learned: what the runs learned.
        runs: N indices of runs, or ORIGINAL; the first run for all if there are runs and this is not given.
        on_batch: called with the number of images of each finished batch, for progress.

    Returns:
        [N, 3, S, S] uint8 on the CPU.
    """
    learned = learned or Learned()
    has_runs = bool(learned.rows or learned.unet or learned.text)
    runs = list(runs) if runs is not None else [0 if has_runs else ORIGINAL] * len(prompts)
    unconditional = [ORIGINAL] * len(runs) if config.original_unconditional else runs
    states, where = _text_states(
        pipeline, [*zip(runs, prompts, strict=True), *((run, "") for run in unconditional)], learned
    )
    drawn_by = [*runs, *unconditional]
    return _packed(
        pipeline, states, where, drawn_by, indices=indices, config=config, learned=learned, on_batch=on_batch
    )


def sample_states(
    pipeline: StableDiffusionPipeline,
    states: Tensor,
    *,
    which: Sequence[int],
    indices: Sequence[int],
    config: SamplingConfig,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Tensor:
    """As `sample` without anything learned, from text states [P, L, D] in place of prompts.

    Args:
        pipeline: draws; its unconditional branch reads the empty prompt.
        states: of the final layer norm, as `tokens.encode` gives them.
        which: N indices into the states, one an image.
        indices: N image indices, which choose the initial latents.
        config: solver, its steps, guidance, batch size and seed.
        on_batch: called with the number of images of each finished batch, for progress.
    """
    empty, _ = _text_states(pipeline, [(ORIGINAL, "")], Learned())
    where = torch.tensor([*which, *[len(states)] * len(which)])
    states, drawn_by = torch.cat([states.to(empty), empty]), [ORIGINAL] * len(where)
    options = {"indices": indices, "config": config, "on_batch": on_batch}
    return _packed(pipeline, states, where, drawn_by, learned=Learned(), **options)


def _packed(
    pipeline: StableDiffusionPipeline,
    states: Tensor,
    where: Tensor,
    drawn_by: Sequence[int],
    *,
    indices: Sequence[int],
    config: SamplingConfig,
    learned: Learned,
    on_batch: Callable[[int], None],
) -> Tensor:
    """Draw N images in full batches; entry n of `where` and `drawn_by` is image n's, entry N + n its unconditional
    branch's: a row of the states [P, L, D], and a run."""
    side, count = pipeline.unet.config.sample_size, len(indices)
    shape = (pipeline.unet.config.in_channels, side, side)
    predict = computed(pipeline.unet, arithmetic_for(pipeline.device), hooked=bool(learned.unet))
    images: list[Tensor] = []
    for begin in range(0, count, config.batch_size):
        batch = [min(begin + k, count - 1) for k in range(config.batch_size)]
        latents = initial_latents(shape, indices=[indices[n] for n in batch], seed=config.seed)
        entries = [*(count + n for n in batch), *batch] if config.guided else batch
        with adapted(pipeline.unet, learned.unet, [drawn_by[entry] for entry in entries], learned.scale):
            drawn = _denoise(pipeline, predict, latents.to(states), states[where[entries]], config=config)
        images.append(_decode(pipeline, drawn)[: count - begin])
        on_batch(len(images[-1]))
    return torch.cat(images)


def adapted(
    model: nn.Module, adapters: Adapters, runs: Sequence[int], scale: float
) -> contextlib.AbstractContextManager[None]:
    """Each sample of a batch is corrected by its own run's adapters while the block lasts; ORIGINAL by none."""
    if not adapters or all(run == ORIGINAL for run in runs):
        return contextlib.nullcontext()
    device = next(model.parameters()).device
    which = torch.tensor(runs if len(set(runs)) > 1 else runs[:1], device=device)  # one run's serve any number
    ours = (which != ORIGINAL).to(next(iter(adapters.values())).dtype)
    gathered = {}
    for name, tensor in adapters.items():
        chosen = tensor.to(device)[which.clamp(min=0)]
        gathered[name] = chosen * ours.view(-1, *[1] * (chosen.ndim - 1)) if name.endswith(".up") else chosen
    names = [name.removesuffix(".down") for name in adapters if name.endswith(".down")]
    return attached({name: model.get_submodule(name) for name in names}, gathered, scale=scale)


@torch.no_grad()
def _text_states(
    pipeline: StableDiffusionPipeline, wanted: Sequence[tuple[int, str]], learned: Learned
) -> tuple[Tensor, Tensor]:
    """States [P, L, D] of the P different pairs of a run and a text, and which [N] of them each wanted one is."""
    pairs = list(dict.fromkeys(wanted))
    encoder, states = pipeline.text_encoder, {}
    for run in dict.fromkeys(run for run, _ in pairs):
        texts = [text for of, text in pairs if of == run]
        rows = learned.rows[run].to(encoder.device) if learned.rows and run != ORIGINAL else None
        vectors = 1 if rows is None else len(rows)
        ids = tokens.tokenize(pipeline.tokenizer, texts, vectors=vectors).to(encoder.device)
        for begin in range(0, len(texts), 64):
            part = ids[begin : begin + 64]
            with adapted(encoder, learned.text, [run] * len(part), learned.scale):
                encoded = tokens.encode(encoder, part, rows=rows)
            states |= {(run, text): state for text, state in zip(texts[begin : begin + 64], encoded, strict=True)}
    position = {pair: n for n, pair in enumerate(states)}
    return torch.stack(list(states.values())), torch.tensor([position[pair] for pair in wanted])


@torch.no_grad()
def _denoise(
    pipeline: StableDiffusionPipeline,
    predict: Callable[..., Tensor],
    latents: Tensor,
    states: Tensor,
    *,
    config: SamplingConfig,
) -> Tensor:
    """Solve from latents [B, C, h, w] with states [B, L, D]; for guidance [2 B, L, D], unconditional ones first."""
    solver = make_solver(pipeline, config)
    solver.set_timesteps(config.steps, device=latents.device)
    latents = latents * solver.init_noise_sigma
    for timestep in solver.timesteps:
        repeated = torch.cat([latents, latents]) if config.guided else latents
        predicted = predict(solver.scale_model_input(repeated, timestep), timestep, states)
        if config.guided:
            without, with_text = predicted.chunk(2)
            predicted = without + config.guidance_scale * (with_text - without)
        latents = solver.step(predicted, timestep, latents).prev_sample
    return latents


def make_solver(pipeline: StableDiffusionPipeline, config: SamplingConfig) -> SchedulerMixin:
    """A fresh solver on the pipeline's noise schedule: DPM-Solver++(2M) (2211.01095) or DDIM (2010.02502)."""
    if config.solver == "ddim":
        return DDIMScheduler.from_config(pipeline.scheduler.config)
    return DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++", solver_order=2
    )


@torch.no_grad()
def _decode(pipeline: StableDiffusionPipeline, latents: Tensor) -> Tensor:
    """Latents [B, C, h, w] to images [B, 3, S, S] uint8 on the CPU."""
    parts = (latents / pipeline.vae.config.scaling_factor).split(through_vae(image_size(pipeline)))
    images = torch.cat([pipeline.vae.decode(part).sample for part in parts])
    return ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(device="cpu", dtype=torch.uint8)
