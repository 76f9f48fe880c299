"""Pairs of prompts, the ways between them, and what is drawn on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers import flow, geometry, interpolation, sights
from helpers.concepts import Concept
from helpers.config import SamplingConfig
from helpers.interpolation import Frame
from helpers.inversion import word_rows
from helpers.scorers import Scorer
from helpers.sights import People, Sights
from helpers.stats import Interval, mean_of_units
from helpers.textspace import Encoded
from helpers.world.chibi import character_of
from helpers.world.population import named_characters
from helpers.world.reader import Reader


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
    """Pictures along every path between the prompts of each pair."""

    labels: pd.DataFrame
    """One row a point: pair, path, t."""
    sights: Sights
    smooth: pd.DataFrame
    """See sights.evenness."""


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
    """Pairs of the class word and the learned token of each concept."""
    own = [class_word or concept.class_word for concept, _ in learned.values()]
    ends = [(word_rows(pipeline, word), row[0]) for word, (_, row) in zip(own, learned.values(), strict=True)]
    rows = torch.stack([torch.stack([one.float().cpu(), other.float().cpu()]) for one, other in ends])
    states = torch.stack([flow.states_of_rows(pipeline, both) for both in rows])
    people = [(None, character_of(concept) if concept.scenes else None) for concept, _ in learned.values()]
    names = tuple((word, concept.name) for word, (concept, _) in zip(own, learned.values(), strict=True))
    return Cast(names=names, states=states, rows=rows, people=people)


def frame_of(encoded: Encoded, *, first: int) -> Frame:
    """The final layer norm, and population B's mean and covariance at each position from `first` on, in float64."""
    words = encoded.words[-1, :, first:].double()
    return Frame(
        gamma=encoded.norm.weight.double(),
        beta=encoded.norm.bias.double(),
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
    pipeline: StableDiffusionPipeline,
    scorer: Scorer,
    cast: Cast,
    frame: Frame,
    *,
    first: int,
    times: Tensor,
    images: int,
    config: SamplingConfig,
    reader: Reader | None,
) -> Journey:
    """Draw every path between the prompts of each pair at the times, in the space of states and in that of inputs."""
    points = flow.along(cast.states, frame, times, first=first)
    points += flow.along_inputs(pipeline, cast.rows, times)
    read = {"reader": reader, "people": cast.people} if reader is not None and cast.people is not None else {}
    seen = sights.look_at(pipeline, scorer, points, images=images, config=config, **read)
    labels = pd.DataFrame([dict(point.labels) for point in points])
    return Journey(labels=labels, sights=seen, smooth=sights.evenness(seen))
