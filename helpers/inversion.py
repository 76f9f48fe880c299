"""Textual inversion (Gal et al., 2208.01618): find the token rows that stand for a concept.

The model stays frozen; the only parameters are the rows of the placeholder token. Nothing here touches
the pipeline's tokenizer or embedding table (see tokens.py). Runs that differ in learning rate, weight
of a term, start or number of vectors train as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.nn.functional import normalize

from helpers import tokens
from helpers.config import InversionConfig, logged_at
from helpers.hashing import content_hash
from helpers.objective import denoising_losses, in_parts, latent_moments, predictor, training_schedule
from helpers.plan import Plan, StepPlan, generator
from helpers.prompts import IMAGE_PLACEHOLDER, templates
from helpers.train import TrainState, Update, adam, followed, start, train

SHARED = (
    "steps",
    "batch_size",
    "template_set",
    "per_image",
    "flip_probability",
    "norm",
    "seed",
    "checkpoints",
    "log_every",
)
"""What the runs of one batch have in common, besides the images."""
PRIOR = 1e-4
"""Pull towards the start's direction where the norm is fixed (2512.13672; its code's kappa)."""


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """A finished inversion of K rows, on the CPU."""

    config: InversionConfig
    initial: Tensor
    """[K, D] float32: where the token's rows started."""
    checkpoints: dict[int, Tensor]
    """[k, D] float32 by the number of updates, at the logged ones: the rows that had joined by then."""
    image_rows: Tensor
    """[N, D] the training images' own rows in the end; N is 0 unless the run had such."""
    history: dict[str, Tensor]
    """loss, gradient_norm and moved [steps], float64, as in train.StepRecord."""
    failed_at: int | None
    """Step that was not finite, if one was; later rows are the ones before it."""

    @property
    def rows(self) -> Tensor:
        """[K, D]: the token's rows in the end."""
        return self.checkpoints[max(self.checkpoints)]


def usual_learning_rate(pipeline: StableDiffusionPipeline) -> float:
    """A third of the RMS of the model's embeddings, a rate that moves words of any model alike.

    Words of Stable Diffusion 1 have an RMS of about 0.015, so that this is the 5e-3 of textual inversion (arXiv
    2208.01618, section 4); chibi's have one of about 1.
    """
    return embedding_table(pipeline).square().mean().sqrt().item() / 3


def embedding_table(pipeline: StableDiffusionPipeline) -> Tensor:
    """[V, D] the text encoder's rows, in float32 or better."""
    table = pipeline.text_encoder.get_input_embeddings().weight.detach()
    return table.to(torch.promote_types(table.dtype, torch.float32))


def word_rows(pipeline: StableDiffusionPipeline, words: str) -> Tensor:
    """Row [D] of a word: its embedding, the mean of them if it is several words.

    The paper asks for a single-token word; the mean is the extension for "toy dog".
    """
    ids = torch.tensor(tokens.class_word_ids(pipeline.tokenizer, words))
    return embedding_table(pipeline)[ids].mean(dim=0)


def mean_length(pipeline: StableDiffusionPipeline) -> float:
    """Mean Euclidean length of the rows of the embedding table."""
    return embedding_table(pipeline).norm(dim=1).mean().item()


def initial_rows(pipeline: StableDiffusionPipeline, config: InversionConfig, *, vectors: int, images: int) -> Tensor:
    """Where rows start, [vectors + images, D]: all at the initializer, or at random with the table's spread."""
    table = embedding_table(pipeline)
    if config.initializer == "random":
        streams = [("init", k) for k in range(vectors)] + [("init of an image", i) for i in range(images)]
        draws = [torch.randn(table.shape[1], generator=generator(config.seed, *stream)) for stream in streams]
        rows = table.mean(0) + table.std(0) * torch.stack(draws).to(table)
    else:
        rows = word_rows(pipeline, config.initializer or config.class_word).expand(vectors + images, -1).clone()
    return normalize(rows, dim=-1) * mean_length(pipeline) if config.norm == "fixed" else rows


def invert(
    pipeline: StableDiffusionPipeline, images: Tensor, *, configs: Sequence[InversionConfig], most: int = 0
) -> list[Inversion]:
    """Learn the rows of R tokens from the same images, in one batch.

    Args:
        pipeline: frozen, left as it is.
        images: [N, 3, S, S] uint8, S the pipeline's image size.
        configs: R runs, equal in what SHARED names.
        most: pictures in the UNet at once, 0 for all; see objective.in_parts.

    Raises:
        InputError: an initializer is not in the vocabulary, or there is no such template set.
        ValueError: the runs cannot share a batch.
    """
    common = configs[0]
    if any(getattr(config, name) != getattr(common, name) for config in configs for name in SHARED):
        raise ValueError(f"the runs of a batch must agree on {', '.join(SHARED)}")
    vectors = max(config.vectors for config in configs)
    own = len(images) if common.per_image else 0
    initial = torch.stack([initial_rows(pipeline, config, vectors=vectors, images=own) for config in configs])
    moments = latent_moments(pipeline.vae, images)
    schedule = training_schedule(pipeline.scheduler)
    texts = [
        f"{text} with {IMAGE_PLACEHOLDER}" if common.per_image else text for text in templates(common.template_set)
    ]
    plan = Plan(
        seed=common.seed,
        images=len(images),
        templates=len(texts),
        batch_size=common.batch_size,
        latent_shape=tuple(moments.mean.shape[2:]),
        timesteps=schedule.config.num_train_timesteps,
        flip_probability=common.flip_probability,
    )
    by_vectors = [tokens.tokenize(pipeline.tokenizer, texts, vectors=n + 1) for n in range(vectors)]
    ids = torch.stack(by_vectors).to(initial.device)  # [vectors, T, L]
    predict = in_parts(predictor(pipeline.unet), most)
    weights = used_rows(configs, initial, vectors) * torch.tensor(
        [[config.l2] for config in configs], device=initial.device
    )

    def loss(step: StepPlan, values: Tensor) -> Tensor:
        rows = values.view_as(initial)
        joined = torch.tensor([vectors_at(config, step.index) - 1 for config in configs])
        prompts = tokens.of_images(ids[joined][:, step.templates], step.images, first=vectors)
        states = tokens.encode(pipeline.text_encoder, prompts, rows=rows)
        losses = denoising_losses(predict, schedule, moments.draw(step), states, step)
        return losses + (weights * (rows - initial).square().sum(2)).sum(1) if weights.any() else losses

    rates = torch.tensor([config.learning_rate for config in configs])
    state = start(initial.flatten(1), learning_rates=rates)
    update = row_update(pipeline, configs, initial, vectors)
    steps = train(state, loss=loss, plan=plan, steps=common.steps, update=update)
    course = followed(state, steps, total=common.steps, logged=logged_at(common), title="textual inversion")
    kept = {step: values.view_as(initial) for step, values in course.values.items()}
    return [
        Inversion(
            config=config,
            initial=initial[r, : config.vectors].cpu(),
            checkpoints={step: rows[r, : vectors_at(config, step - 1)].clone() for step, rows in kept.items()},
            image_rows=kept[max(kept)][r, vectors:].clone(),
            history={name: values[:, r].clone() for name, values in course.history.items()},
            failed_at=failed if (failed := int(state.failed_at[r])) >= 0 else None,
        )
        for r, config in enumerate(configs)
    ]


def vectors_at(config: InversionConfig, step: int) -> int:
    """How many vectors stand for the token at a step; the paper lets them join one by one (2208.01618, section 5.2)."""
    after = config.further_vector_after
    return min(config.vectors, 1 + step // after) if after else config.vectors


def used_rows(configs: Sequence[InversionConfig], initial: Tensor, vectors: int) -> Tensor:
    """[R, K] bool, which of the rows [R, K, D] a run has, those of images after `vectors` others; the rest pads it."""
    places = torch.arange(initial.shape[1], device=initial.device)
    return torch.stack([(places < config.vectors) | (places >= vectors) for config in configs])


def row_update(
    pipeline: StableDiffusionPipeline, configs: Sequence[InversionConfig], initial: Tensor, vectors: int
) -> Update:
    """How rows [R, K, D] move; those that have not joined, or only pad their run, rest, and age from their first step.

    Args:
        pipeline: says how long words are.
        configs: R runs of one norm.
        initial: [R, K, D], where the rows start.
        vectors: rows before those of the images.
    """
    places = torch.arange(initial.shape[1], device=initial.device)
    late = torch.tensor([[config.further_vector_after] for config in configs], device=initial.device)
    joins = torch.where(places < vectors, places * late, 0)  # [R, K]
    used = used_rows(configs, initial, vectors)
    norm, length = configs[0].norm, mean_length(pipeline)

    def update(state: TrainState, gradient: Tensor) -> Tensor:
        ages = (state.step - joins).unsqueeze(-1)
        moving = (used.unsqueeze(-1) & (ages > 0)).expand_as(initial).flatten(1)
        if norm == "fixed":
            moved = on_sphere(state, gradient, initial)
        else:
            moved = adam(state, gradient, ages=ages.clamp(min=1).expand_as(initial).flatten(1))
            moved = towards_length(state, moved, initial.shape[1:], length) if norm == "decayed" else moved
        return torch.where(moving, moved, state.values)

    return update


def on_sphere(state: TrainState, gradient: Tensor, initial: Tensor) -> Tensor:
    """Directional Textual Inversion (2512.13672): steps of a fixed length along the sphere of the rows' lengths.

    The gradient with respect to the direction, with the constant pull of a von Mises-Fisher prior around the start, is
    projected on the tangent space and scaled to unit length; the new direction is scaled back to the sphere. The
    learning rate is the step in radians. Rows without a gradient, those of images that are not in the batch, rest.
    """
    length = initial.norm(dim=-1, keepdim=True)
    direction, centre = state.values.view_as(initial) / length, initial / length
    slope = length * gradient.view_as(initial) - PRIOR * centre
    slope = slope - (slope * direction).sum(-1, keepdim=True) * direction
    moved = direction - state.learning_rates[:, :, None] * normalize(slope, dim=-1, eps=1e-8)
    seen = gradient.view_as(initial).any(dim=-1, keepdim=True)
    return torch.where(seen, length * normalize(moved, dim=-1), state.values.view_as(initial)).flatten(1)


def towards_length(state: TrainState, values: Tensor, shape: torch.Size, length: float) -> Tensor:
    """Values [R, P] as rows of `shape` [K, D], whose lengths go a share min(1, 100 lr) of the way to `length`.

    After cloneofsimo/lora's lora_pti, whose length is 0.4, the words' of Stable Diffusion 1.x.
    """
    rows = values.unflatten(1, shape)
    now = rows.norm(dim=-1, keepdim=True)
    share = (100 * state.learning_rates).clamp(max=1)[:, :, None]
    return (rows / now * (now + share * (length - now))).flatten(1)


def inversion_hash(config: InversionConfig, *, pipeline: str, images: str) -> str:
    """Hash of a training: its configuration, template texts, and fingerprints of pipeline and images."""
    return content_hash("textual inversion", config, templates(config.template_set), pipeline, images)
