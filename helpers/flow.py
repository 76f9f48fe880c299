"""Text states that no prompt has: one prompt's with some positions of another's, and points on the way between two.

What the UNet makes of them says where a prompt's identity flows, and which way between two states is smooth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from tqdm import tqdm

from helpers import interpolation, tokens
from helpers.distances import make_probe
from helpers.interpolation import Frame, Path, paths
from helpers.objective import in_parts, latent_moments, predictor, training_schedule
from helpers.progress import BATCH_PROGRESS
from helpers.states import TEMPLATE, patched, template_ids
from helpers.world import scene as w
from helpers.world.population import NAMES, named_characters
from helpers.world.readings import NEAR

ENDS = "ends"
"""The path of a point that all paths share."""
OF_INPUTS: dict[str, Path] = {"inputs, linear": interpolation.linear, "inputs, slerp": interpolation.slerp}
"""Paths between input embeddings, which the encoder then reads: another space than that of its states."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A text state to draw from."""

    labels: Mapping[str, object]
    """Columns of its rows in a table, among them `pair`."""
    states: Tensor
    """[L, D]."""


def far_apart(one: w.Character, other: w.Character) -> bool:
    """Whether no picture can be read as both: hair or garment differ by more than twice NEAR."""
    parts = ("hair_colour", "garment_colour")
    return any(np.linalg.norm(np.subtract(getattr(one, p), getattr(other, p))) > 2 * NEAR for p in parts)


def pairs_of_names(count: int, *, seed: int) -> list[tuple[str, str]]:
    """At most `count` pairs of chibi's named characters, no name twice, no two that can be taken for each other."""
    left, people, found = list(w.rng(seed, "pairs of names").permutation(NAMES)), named_characters(), []
    while left and len(found) < count:
        name = str(left.pop(0))
        partner = next((str(other) for other in left if far_apart(people[name], people[str(other)])), None)
        if partner is not None:
            left.remove(partner)
            found.append((name, partner))
    return found


@torch.no_grad()
def prompt_states(pipeline: StableDiffusionPipeline, words: Sequence[str]) -> Tensor:
    """States [N, L, D], float32 on the CPU, of TEMPLATE with each word in S*'s place."""
    ids = template_ids(pipeline.tokenizer, words).to(pipeline.device)
    return tokens.encode(pipeline.text_encoder, ids).float().cpu()


@torch.no_grad()
def states_of_rows(pipeline: StableDiffusionPipeline, rows: Tensor) -> Tensor:
    """States [N, L, D], float32 on the CPU, of TEMPLATE with each of N input embeddings [N, D] in S*'s place."""
    ids = tokens.tokenize(pipeline.tokenizer, [TEMPLATE]).to(pipeline.device).expand(len(rows), 1, -1)
    return tokens.encode(pipeline.text_encoder, ids, rows=rows[:, None].to(pipeline.device))[:, 0].float().cpu()


def patches(states: Tensor, sets: Mapping[str, Sequence[int]]) -> list[Point]:
    """The second prompt of each of P pairs, states [P, 2, L, D], with the first one's at each set of positions."""
    return [
        Point(labels={"pair": p, "positions": name}, states=patched(both[1], both[0], chosen))
        for p, both in enumerate(states)
        for name, chosen in sets.items()
    ]


def along(states: Tensor, frame: Frame, times: Tensor, *, first: int) -> list[Point]:
    """Points of every path between the prompts of P pairs, the same time at all positions.

    Args:
        states: [P, 2, L, D].
        frame: of the positions from `first` on, in float64.
        times: [T] from 0 to 1; the two ends, which all paths share, are there once.
        first: index of the first position at which the prompts of a pair differ.
    """
    found = [
        Point(labels={"pair": p, "path": ENDS, "t": float(times[end])}, states=both[end])
        for p, both in enumerate(states)
        for end in (0, -1)
    ]
    inner = times[1:-1]
    for name, path in paths(frame).items():
        points = path(states[:, 0, first:].double(), states[:, 1, first:].double(), inner.double()).to(states)
        before = states[:, 0, :first].expand(len(inner), -1, -1, -1)
        found += _labelled(torch.cat([before, points], dim=2), name, inner)
    return found


def along_inputs(pipeline: StableDiffusionPipeline, rows: Tensor, times: Tensor) -> list[Point]:
    """Inner points of the paths of OF_INPUTS between P pairs of input embeddings [P, 2, D]."""
    inner, found = times[1:-1], []
    for name, path in OF_INPUTS.items():
        points = path(rows[:, 0], rows[:, 1], inner)
        found += _labelled(states_of_rows(pipeline, points.flatten(0, 1)).unflatten(0, points.shape[:2]), name, inner)
    return found


def _labelled(points: Tensor, name: str, times: Tensor) -> Iterator[Point]:
    """Points [T, P, L, D] of one path, one by one."""
    for t, at_once in zip(times.tolist(), points, strict=True):
        for p, one in enumerate(at_once):
            yield Point(labels={"pair": p, "path": name, "t": t}, states=one)


@torch.no_grad()
def noise_of(
    pipeline: StableDiffusionPipeline, points: Sequence[Point], images: Tensor, *, seed: int, most: int = 0
) -> Tensor:
    """The noise [P, M C h w] that the UNet predicts with each of P states in the same M = 16 noisy pictures.

    No reader, scorer or sampler is asked, so that any model has it and chance has little part in it.

    Args:
        pipeline: predicts.
        points: the states.
        images: [N, 3, S, S] uint8, noised at 16 timesteps spread over the schedule.
        seed: of the noise.
        most: pictures that pass through the UNet at once; 0 is all.
    """
    schedule, predict = training_schedule(pipeline.scheduler), in_parts(predictor(pipeline.unet), most)
    probe = make_probe(latent_moments(pipeline.vae, images), schedule, seed=seed)
    found = []
    with tqdm(total=len(points), desc="predicting", unit="state", **BATCH_PROGRESS) as bar:
        for point in points:
            states = point.states[None].to(pipeline.device, pipeline.unet.dtype)
            found.append(probe.epsilon(probe.predicted(predict, states)).flatten().float().cpu())
            bar.update()
    return torch.stack(found)


def flow_of_noise(labels: pd.DataFrame, noise: Tensor) -> pd.DataFrame:
    """How much of the change that a source prompt makes to the predicted noise goes through some positions.

    The projection of eps(patched) - eps(base) on eps(source) - eps(base): 0 where the patch changes nothing, 1 where
    it changes all. Columns pair, positions, share.

    Args:
        labels: of P `patches` with the sets "none" and "all" among them: pair, positions.
        noise: [P, K], `noise_of` them.
    """
    rows = []
    for pair, mine in labels.groupby("pair"):
        base, source = (noise[int(mine.index[mine["positions"] == name][0])].double() for name in ("none", "all"))
        whole = source - base
        for number, positions in mine["positions"].items():
            share = ((noise[number].double() - base) @ whole / (whole @ whole)).item()
            rows.append({"pair": pair, "positions": positions, "share": share})
    return pd.DataFrame(rows)


def labels_of(points: Sequence[Point]) -> pd.DataFrame:
    """The labels of points, one row a point."""
    return pd.DataFrame([dict(point.labels) for point in points])
