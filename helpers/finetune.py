"""Finetuning by LoRA: the UNet's attention learns the concept, R runs as one batch.

From a learned token (pivotal tuning), from the class word, or from a rare word (DreamBooth,
2208.12242). Terms of the loss plug in as functions of a `terms.Problem`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.nn import functional as F

from helpers import tokens
from helpers.config import FinetuneConfig, logged_at
from helpers.lora import (
    TEXT_ATTENTION,
    Adapters,
    adapted_modules,
    adapter_shapes,
    attached,
    initial_adapters,
)
from helpers.objective import errors, in_parts, latent_moments, noised, predictor, training_schedule
from helpers.plan import Plan, StepPlan
from helpers.prompts import templates
from helpers.terms import Problem, Term, timesteps_of
from helpers.train import followed, pack, start, train, unpack

SHARED = (
    "rank", "alpha", "targets", "text_encoder", "steps", "batch_size", "template_set", "flip_probability",
    "timestep_range", "masked", "class_images", "largest_gradient", "seed", "checkpoints",
    "log_every",
)  # fmt: skip
"""What the runs of one batch have in common, besides the images."""


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """A finished finetuning, on the CPU."""

    config: FinetuneConfig
    checkpoints: dict[int, Adapters]
    """Adapters of the UNet by the number of updates, at the logged ones."""
    text_checkpoints: dict[int, Adapters]
    """Those of the text encoder; empty adapters unless it was adapted."""
    initial_rows: Tensor
    """[K, D] the token's rows before; K is 0 without a token."""
    rows: dict[int, Tensor]
    """[K, D] by the number of updates."""
    history: dict[str, Tensor]
    """loss, gradient_norm and moved [steps], float64, as in train.StepRecord."""
    failed_at: int | None
    """Step that was not finite, if one was; later adapters are the ones before it."""


def finetune(
    pipeline: StableDiffusionPipeline,
    images: Tensor,
    *,
    configs: Sequence[FinetuneConfig],
    rows: Tensor | None = None,
    masks: Tensor | None = None,
    terms: Mapping[str, Term] | None = None,
    most: int = 0,
) -> list[Finetuning]:
    """Train the adapters of R runs on the same images, in one batch.

    Args:
        pipeline: left as it is.
        images: [N, 3, S, S] uint8, S the pipeline's image size.
        configs: R runs, equal in what SHARED names.
        rows: [R, K, D] the pivots: where S* stands at first, and at last if the rows are not trained.
        masks: [N, S, S] bool, where the concept is; needed by masked runs.
        terms: further terms of the loss, by name; "prior" has the weight `prior_weight`.
        most: pictures in the UNet at once, 0 for all; see objective.in_parts.

    Raises:
        ValueError: the runs cannot share a batch, or rows or masks are missing.
    """
    common = configs[0]
    if any(getattr(config, name) != getattr(common, name) for config in configs for name in SHARED):
        raise ValueError(f"the runs of a batch must agree on {', '.join(SHARED)}")
    if common.masked and masks is None:
        raise ValueError("a masked loss needs masks")
    moments, schedule = latent_moments(pipeline.vae, images), training_schedule(pipeline.scheduler)
    exact = torch.promote_types(pipeline.unet.dtype, torch.float32)
    device, runs = moments.mean.device, len(configs)
    rows = torch.zeros(runs, 0, 0, device=device) if rows is None else rows.to(device=device, dtype=exact)
    texts = templates(common.template_set)
    first, last = timesteps_of(common, schedule)
    plan = Plan(
        seed=common.seed,
        images=len(images),
        templates=len(texts),
        batch_size=common.batch_size,
        latent_shape=tuple(moments.mean.shape[2:]),
        timesteps=last,
        first_timestep=first,
        flip_probability=common.flip_probability,
    )
    weights = None if not common.masked else mask_weights(masks.to(device), moments.mean.shape[-2:])
    adapted = {"unet": adapted_modules(pipeline.unet, common.targets)}
    if common.text_encoder:
        adapted["text"] = adapted_modules(pipeline.text_encoder, TEXT_ATTENTION)
    shapes = {
        f"{part} {name}": shape
        for part, modules in adapted.items()
        for name, shape in adapter_shapes(modules, common.rank).items()
    }
    begun = {
        name: tensor.expand(runs, *tensor.shape) for name, tensor in initial_adapters(shapes, seed=common.seed).items()
    }
    begun = {name: tensor.to(device=device, dtype=exact) for name, tensor in begun.items()} | {"rows": rows}
    shapes |= {"rows": tuple(rows.shape[1:])}
    subjects = [config.subject for config in configs]
    ids = [tokens.prompt_ids(pipeline.tokenizer, texts, subject, vectors=rows.shape[1]) for subject in subjects]
    ids = torch.stack(ids).to(device)  # [R, T, L]
    moving = common.text_encoder or any(config.token_learning_rate for config in configs)
    known = None if moving else frozen_states(pipeline, ids, rows)
    scale, predict = common.alpha / common.rank, predictor(pipeline.unet, hooked=True)

    def loss(step: StepPlan, values: Tensor) -> Tensor:
        tensors = unpack(values, shapes)
        parts = {part: of_part(tensors, part) for part in adapted}
        chosen = ids[:, step.templates]
        with contextlib.ExitStack() as stack:
            if common.text_encoder:
                stack.enter_context(attached(adapted["text"], parts["text"], scale=scale))
            states = known[:, step.templates] if known is not None else text_states(pipeline, chosen, tensors["rows"])

        def adapted_unet(noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
            with attached(adapted["unet"], parts["unet"], scale=scale):
                return predict(noisy, timesteps, text)

        tuned, latents = in_parts(adapted_unet, most), moments.draw(step)
        noisy = noised(schedule, latents, step)
        predicted = tuned(noisy, step.timesteps, states)
        here = None if weights is None else weights[step.flips.long(), step.images]
        losses = errors(schedule, predicted, latents, step, weights=here)
        problem = Problem(
            step=step,
            latents=latents,
            noisy=noisy,
            states=states,
            predicted=predicted,
            predict=tuned,
            frozen=torch.no_grad()(predict),
        )
        for name, term in (terms or {}).items():
            by_run = torch.tensor([getattr(config, f"{name}_weight") for config in configs], device=device)
            losses = losses + by_run * term(problem)
        return losses

    begin = pack(begun)
    state = start(begin, learning_rates=learning_rates(configs, begin, rows))
    steps = train(state, loss=loss, plan=plan, steps=common.steps, largest_gradient=common.largest_gradient)
    course = followed(state, steps, total=common.steps, logged=logged_at(common), title="finetuning")
    unpacked = {step: unpack(values, shapes) for step, values in course.values.items()}

    def of_run(part: str, r: int) -> dict[int, Adapters]:
        return {s: {name: t[r].clone() for name, t in of_part(found, part).items()} for s, found in unpacked.items()}

    return [
        Finetuning(
            config=config,
            checkpoints=of_run("unet", r),
            text_checkpoints=of_run("text", r),
            initial_rows=rows[r].cpu(),
            rows={step: found["rows"][r].clone() for step, found in unpacked.items()},
            history={name: values[:, r].clone() for name, values in course.history.items()},
            failed_at=failed if (failed := int(state.failed_at[r])) >= 0 else None,
        )
        for r, config in enumerate(configs)
    ]


def of_part(tensors: Mapping[str, Tensor], part: str) -> Adapters:
    """The adapters of "unet" or "text", by the names of its modules."""
    return {name.removeprefix(f"{part} "): tensor for name, tensor in tensors.items() if name.startswith(f"{part} ")}


def learning_rates(configs: Sequence[FinetuneConfig], values: Tensor, rows: Tensor) -> Tensor:
    """[R, P] as the values: the adapters' rate, and at the end, where the rows are, the token's."""
    rates = torch.empty_like(values)
    split = values.shape[1] - rows[0].numel()
    for run, config in zip(rates, configs, strict=True):
        run[:split], run[split:] = config.learning_rate, config.token_learning_rate
    return rates


def text_states(pipeline: StableDiffusionPipeline, ids: Tensor, rows: Tensor) -> Tensor:
    """States [R, T, L, D] of ids [R, T, L], with rows [R, K, D] where K is not 0."""
    return tokens.encode(pipeline.text_encoder, ids, rows=rows if rows.shape[1] else None)


@torch.no_grad()
def frozen_states(pipeline: StableDiffusionPipeline, ids: Tensor, rows: Tensor) -> Tensor:
    """`text_states` of all templates, once for all steps, run by run."""
    return torch.cat([text_states(pipeline, ids[r : r + 1], rows[r : r + 1]) for r in range(len(ids))])


def mask_weights(masks: Tensor, shape: tuple[int, int]) -> Tensor:
    """Weights [2, N, 1, h, w] of latents, as they are and mirrored: the share of the concept, 1 in the mean."""
    share = F.adaptive_avg_pool2d(masks.float().unsqueeze(1), shape)
    share = share / share.mean((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return torch.stack([share, share.flip(-1)])
