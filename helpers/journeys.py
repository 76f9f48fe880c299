"""Pairs of prompts, the ways between them, and what is drawn on the way."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from helpers import flow, geometry, interpolation
from helpers.concepts import Concept
from helpers.config import InputError, InversionConfig, SamplingConfig
from helpers.grid import RunConfig
from helpers.interpolation import Frame
from helpers.inversion import usual_learning_rate, word_rows
from helpers.models import EMBEDDED
from helpers.sights import People, Sights, evenness, look_at
from helpers.stats import Interval, mean_of_units
from helpers.tokens import class_word_ids
from helpers.trained import train_batch, training_hash
from helpers.workbench import Workbench, at_once
from helpers.world.chibi import character_of
from helpers.world.newcomers import CONFIRM, DEVELOP
from helpers.world.population import named_characters
from helpers.world.reader import Reader

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Cast:
    """P pairs of prompts, alike but for what stands in S*'s place."""

    names: tuple[tuple[str, str], ...]
    states: Tensor
    """[P, 2, L, D], after the final layer norm."""
    rows: Tensor
    """[P, 2, D], the input embeddings in S*'s place."""
    people: People | None
    """Whom they show, if a reader can tell."""

    def first(self, count: int) -> Cast:
        """The first pairs alone."""
        people = None if self.people is None else self.people[:count]
        return Cast(names=self.names[:count], states=self.states[:count], rows=self.rows[:count], people=people)


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What the UNet makes of every path between the prompts of each pair."""

    sights: Sights
    smooth: pd.DataFrame
    """sights.evenness of the pictures."""
    noise: pd.DataFrame
    """sights.evenness of the predicted noise."""


def named_cast(pipeline: StableDiffusionPipeline, words: Sequence[str], *, chibi: bool, count: int, seed: int) -> Cast:
    """Pairs of chibi's named characters, or for another model of its words, each word once."""
    if chibi:
        pairs = flow.pairs_of_names(count, seed=seed)
        people = [(named_characters()[one], named_characters()[other]) for one, other in pairs]
    else:
        half = min(count, len(words) // 2)
        pairs, people = list(zip(words[:half], words[half : 2 * half], strict=True)), None
    rows = torch.stack([torch.stack([word_rows(pipeline, word) for word in pair]) for pair in pairs])
    states = torch.stack([flow.prompt_states(pipeline, pair) for pair in pairs])
    return Cast(names=tuple(pairs), states=states, rows=rows.float().cpu(), people=people)


def learned_cast(
    pipeline: StableDiffusionPipeline, learned: Mapping[str, tuple[Concept, Tensor]], class_word: str
) -> Cast:
    """Pairs of the class word and the learned token of each concept.

    Args:
        pipeline: encodes.
        learned: concepts and the rows [1, D] of their tokens.
        class_word: what they show; nothing for each concept's own. The mean of the rows of several words stands for
            them, as at the start of the training.
    """
    own = [class_word or concept.class_word for concept, _ in learned.values()]
    ends = [(word_rows(pipeline, word), row[0]) for word, (_, row) in zip(own, learned.values(), strict=True)]
    rows = torch.stack([torch.stack([one.float().cpu(), other.float().cpu()]) for one, other in ends])
    states = torch.stack([flow.states_of_rows(pipeline, both) for both in rows])
    people = [(None, character_of(concept) if concept.scenes else None) for concept, _ in learned.values()]
    names = tuple((word, concept.name) for word, (concept, _) in zip(own, learned.values(), strict=True))
    return Cast(names=names, states=states, rows=rows, people=people)


def frame_of(norm: nn.LayerNorm, states: Tensor) -> Frame:
    """The final layer norm, and mean and covariance of a population's states [N, P, D] at each of P positions."""
    words = states.double()
    return Frame(
        gamma=norm.weight.double(),
        beta=norm.bias.double(),
        mean=words.mean(0),
        covariance=torch.stack([geometry.shrunk_covariance(points) for points in words.unbind(1)]),
    )


def geometry_of_paths(cast: Cast, frame: Frame, *, index: int) -> dict[str, dict[str, Interval]]:
    """interpolation.compared at the placeholder's index, which is the frame's first: means over pairs."""
    here = Frame(gamma=frame.gamma, beta=frame.beta, mean=frame.mean[0], covariance=frame.covariance[0])
    a, b = (cast.states[:, k, index].double() for k in (0, 1))
    found = interpolation.compared(a, b, here)
    return {
        path: {name: mean_of_units(values.numpy(), "pairs") for name, values in numbers.items()}
        for path, numbers in found.items()
    }


def travel(
    bench: Workbench,
    cast: Cast,
    frame: Frame,
    *,
    first: int,
    times: Tensor,
    images: int,
    config: SamplingConfig,
    reader: Reader | None,
) -> Journey:
    """Draw every path between the prompts of each pair, in the space of states and in that of inputs.

    Args:
        bench: the models, and the pictures whose noise is predicted.
        cast: the pairs.
        frame: of the positions from `first` on.
        first: index of the first position that differs.
        times: [T] from 0 to 1.
        images: pictures of each point.
        config: of the sampler; its seed is also that of the noise.
        reader: says whom pictures show, where it knows their world.
    """
    pipeline = bench.pipeline
    points = flow.along(cast.states, frame, times, first=first) + flow.along_inputs(pipeline, cast.rows, times)
    read = {"reader": reader, "people": cast.people} if reader is not None and cast.people is not None else {}
    seen = look_at(pipeline, bench.instruments.scorer, points, images=images, config=config, **read)
    most = at_once(bench, training=False, share=1.0)
    noise = flow.noise_of(pipeline, points, bench.concept.images, seed=config.seed, most=most)
    labels = flow.labels_of(points).assign(index=0)
    return Journey(sights=seen, smooth=evenness(seen.rows, seen.vectors), noise=evenness(labels, noise))


def companions(concept: str, *, model: str, count: int) -> list[str]:
    """A concept and at most count - 1 others like it: chibi's newcomers, if it is one of them."""
    newcomers = [*DEVELOP, *CONFIRM]
    if model not in EMBEDDED or concept not in newcomers:
        return [concept]
    return [concept, *(name for name in newcomers if name != concept)][:count]


def trainings(benches: Mapping[str, Workbench], class_word: str, *, steps: int, seed: int) -> dict[str, RunConfig]:
    """The training of each concept's token, at a third of the embeddings' RMS, by the concept's source.

    Args:
        benches: models and concepts, by their sources.
        class_word: what they show; nothing for each concept's own.
        steps: updates.
        seed: of the training.
    """
    return {
        source: RunConfig(
            concept=source,
            training=InversionConfig(
                class_word=class_word or bench.concept.class_word,
                learning_rate=usual_learning_rate(bench.pipeline),
                steps=steps,
                seed=seed,
                log_every=max(5, steps // 10),
            ),
        )
        for source, bench in benches.items()
    }


def check_trainings(
    benches: Mapping[str, Workbench], configs: Mapping[str, RunConfig], *, train: str, folder: Path
) -> None:
    """Raise InputError if a class word is not in the vocabulary, or a training is missing and must not be made."""
    for source, config in configs.items():
        class_word_ids(benches[source].pipeline.tokenizer, config.training.class_word)
        name = f"{training_hash(config, benches[source])}.safetensors"
        if train == "never" and not (folder / name).exists():
            raise InputError(f"the token of {source} is not in {folder} ({name}): use TRAIN=missing.")


def learned_rows(
    benches: Mapping[str, Workbench], configs: Mapping[str, RunConfig], *, folder: Path
) -> dict[str, tuple[Concept, Tensor]]:
    """Each concept, and the rows [K, D] of its token, trained or read from the folder, by the concept's source.

    A training that is not finite is left out, which the log says.

    Raises:
        InputError: nothing is left.
    """
    found = {}
    for number, (source, config) in enumerate(configs.items(), start=1):
        bench = benches[source]
        log.info("token %d of %d: %s", number, len(configs), bench.concept.name)
        (inversion,) = train_batch(bench, (config,), folder)
        if inversion.failed_at is None:
            found[source] = (bench.concept, inversion.rows)
        else:
            log.warning("the token of %s is not finite at step %d: it is left out", source, inversion.failed_at)
    if not found:
        raise InputError(f"no token of {', '.join(configs)} stayed finite: choose another concept or seed.")
    return found
