"""The two clouds of a CLIP, images and texts, and every number about them with its interval over images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers import contrast, features, geometry, scores
from helpers.config import InputError
from helpers.plan import generator
from helpers.scorers import Scorer
from helpers.stats import Interval, jackknife_each, share_of_units
from helpers.world.captions import caption
from helpers.world.draw import draw
from helpers.world.sampling import training_scene
from helpers.world.scene import rng

log = logging.getLogger(__name__)
WORLD = "world"
FRESH_SEED = 2
"""Of scenes that no training and no measurement of chibi's card has seen."""
ALPHAS = tuple(round(-1 + 0.1 * k, 1) for k in range(21))
CLIP_SCALE = 100.0
"""Of the cosines in CLIP's loss, at the end of its training (2103.00020, section 2.5)."""
GROUPS = 25
"""Parts of the images that are left out in turn for an interval."""
ENOUGH = 8
"""Rows without which nothing is said about covariances and correlations."""
SEPARABLE = 0.99
"""Share of held-out images and texts that a linear rule has to tell apart."""
SIDES = ("image", "text")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pictures and captions, row by row."""

    images: Tensor
    """[N, 3, S, S] uint8."""
    texts: list[str]
    paired: bool
    """Whether row i of both belongs together."""


@dataclass(frozen=True, kw_only=True)
class Clouds:
    """Vectors of N images and of N texts, as a model gives them."""

    images: Tensor
    """[N, D] float64."""
    texts: Tensor
    """[N, D] float64."""
    paired: bool
    scale: float
    """Of the cosines in the contrastive loss."""

    @property
    def lengths_known(self) -> bool:
        """Whether the vectors have lengths of their own, and not all the same one."""
        lengths = torch.cat([self.images, self.texts]).norm(dim=1)
        return bool(lengths.std() > 1e-3 * lengths.mean())

    def of(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Some rows of both."""
        return self.images[chosen], self.texts[chosen]


def load_pairs(captions: str, images: str, *, count: int, size: int) -> Pairs:
    """At most `count` captions and pictures of `size` pixels: of the world, or of files; see features.matched."""
    written = None if captions == WORLD else features.read_captions(captions)
    paths = None if images == WORLD else features.picture_paths(images)
    scenes = [training_scene(i, FRESH_SEED) for i in range(count)]
    texts = [caption(scene, rng(FRESH_SEED, "caption", i)) for i, scene in enumerate(scenes)]
    if written is None and paths is None:
        return Pairs(images=drawn(scenes), texts=texts, paired=True)
    if paths is None:
        written = written[:count]
        return Pairs(images=drawn(scenes[: len(written)]), texts=[c.text for c in written], paired=False)
    if written is None:
        paths = paths[:count]
        return Pairs(images=features.read_pictures(paths, size=size), texts=texts[: len(paths)], paired=False)
    written, paths, together = features.matched(written, paths)
    pictures = features.read_pictures(paths[:count], size=size)
    return Pairs(images=pictures, texts=[c.text for c in written[:count]], paired=together)


def drawn(scenes: list) -> Tensor:
    """Pictures [N, 3, 64, 64] uint8 of scenes of the world."""
    return torch.from_numpy(np.stack([draw(scene)[0] for scene in scenes])).permute(0, 3, 1, 2)


def clouds_of(scorer: Scorer, pairs: Pairs, *, scale: float) -> Clouds:
    """What a CLIP makes of pictures and captions; the scale is that of the cosines in the contrastive loss."""
    return Clouds(
        images=geometry.check_cloud(scores.raw_images(scorer, pairs.images), name="image features"),
        texts=geometry.check_cloud(scores.raw_texts(scorer, pairs.texts), name="text features"),
        paired=pairs.paired,
        scale=scale,
    )


def clouds_in(source: str) -> Clouds:
    """The clouds of a file of features.

    Raises:
        InputError: see features.read_features and geometry.check_cloud.
    """
    try:
        images, texts = (
            geometry.check_cloud(points, name=f"{side} features")
            for side, points in zip(SIDES, features.read_features(source), strict=True)
        )
    except InputError as error:
        raise InputError(f"{error} (in {source!r})" if source not in str(error) else str(error)) from error
    return Clouds(images=images, texts=texts, paired=True, scale=CLIP_SCALE)


def at_bound(alpha: Interval) -> bool:
    """Whether the loss is still falling at the end of the alphas that were tried."""
    return abs(alpha.value) > 0.98 * ALPHAS[-1]


def measured(clouds: Clouds) -> dict[str, Interval]:
    """Every number about two clouds, with its 95% interval over images; without those that need pairs or more rows."""

    def numbers(chosen: np.ndarray) -> dict[str, float]:
        images, texts = clouds.of(chosen)
        found = {
            "modality_gap": geometry.modality_gap(images, texts),
            "raw_gap": (images.mean(0) - texts.mean(0)).norm().item(),
            "gap_share_top9": geometry.gap_share(images, texts),
        }
        if clouds.paired:
            found["paired_cosine"] = geometry.paired_cosine(images, texts)
            found["best_alpha"] = contrast.best_alpha(images, texts, low=ALPHAS[0], high=ALPHAS[-1], scale=clouds.scale)
        for side, points in zip(SIDES, (images, texts), strict=True):
            found |= {f"{name}_{side}": value for name, value in of_one(points, enough=enough).items()}
            if enough and lengths_known:
                found |= {f"{name}_{side}": value for name, value in of_units(points).items()}
        return found

    enough, lengths_known = len(clouds.images) >= ENOUGH, clouds.lengths_known
    return jackknife_each(numbers, n=len(clouds.images), unit="images", groups=GROUPS)


def of_one(points: Tensor, *, enough: bool) -> dict[str, float]:
    """Numbers about one cloud; covariances and correlations only with enough rows."""
    found = {
        "mean_cosine": geometry.mean_cosine(points),
        "offset": geometry.offset(points),
        "shell_cv": geometry.shell_cv(points),
    }
    if enough:
        gaussian, ones = geometry.gaussian_cv(points), contrast.conformity(points)
        found |= {
            "conformity": contrast.correlation(ones, contrast.nearness_to_mean(points)),
            "conformity_unit": contrast.correlation(ones, contrast.nearness_to_mean(points, of_units=True)),
            "participation_ratio": geometry.participation_ratio(points),
            "tilt": geometry.tilt(points),
            "gaussian_cv": gaussian,
            "shell_over_gaussian": found["shell_cv"] / gaussian,
        }
    return found


def of_units(points: Tensor) -> dict[str, float]:
    """The shell of the unit vectors, where the raw ones have lengths of their own."""
    units = points / points.norm(dim=1, keepdim=True)
    own, gaussian = geometry.shell_cv(units), geometry.gaussian_cv(units)
    return {"unit_shell_cv": own, "unit_gaussian_cv": gaussian, "unit_shell_over_gaussian": own / gaussian}


def nulls(points: Tensor) -> dict[str, Callable[[torch.Generator], Tensor]]:
    """Draws of clouds of as many rows, by their name: normal with this covariance; with these margins, independent."""
    eigenvalues = geometry.shrunk_spectrum(points)
    return {
        "Gaussian": lambda g: geometry.normal(eigenvalues, g, rows=len(points)),
        "permuted": lambda g: geometry.permuted(points, g),
    }


def under_null(
    statistic: Callable[[Tensor], float],
    make: Callable[[torch.Generator], Tensor],
    *,
    seed: int,
    stream: str,
    draws: int = 20,
) -> Interval:
    """A statistic of drawn clouds: its mean, and the least and the most of the draws."""
    made = [statistic(make(generator(seed, stream, draw))) for draw in range(draws)]
    return Interval(value=float(np.mean(made)), low=min(made), high=max(made), n=draws, unit="draws")


def separability(clouds: Clouds) -> pd.DataFrame:
    """Held-out accuracy by the best k features, one row a k: k, and an Interval."""
    n, dim = clouds.images.shape
    counts = sorted({k for k in (1, 2, 3, 4, 5, 6, 9, 12, 16, 24, 32, 48, 64, 128, 256) if k < min(dim, n)} | {1})
    right = geometry.separated(clouds.images, clouds.texts, counts=counts)
    accuracy = [share_of_units(both.T.numpy().astype(float), "images") for both in right]
    return pd.DataFrame({"features": counts, "accuracy": accuracy})


def separable_with(accuracy: pd.DataFrame, *, features: int) -> Interval | None:
    """How few of the features that were tried tell SEPARABLE of both apart; the interval's ends are where the
    accuracy's ends reach it. None if not even the most do; an upper end that is not reached is all features."""
    counts, found = accuracy["features"].to_numpy(), accuracy["accuracy"]

    def first(end: str) -> float | None:
        reached = [getattr(one, end) >= SEPARABLE for one in found]
        return float(counts[reached.index(True)]) if True in reached else None

    if (value := first("value")) is None:
        return None
    return Interval(value=value, low=first("high"), high=first("low") or float(features), n=found[0].n, unit="images")


def separating(clouds: Clouds) -> pd.DataFrame:
    """Every feature by its separation, largest first: its 0-based index, separation, and share of the gap's energy."""
    energy = geometry.gap_energy(clouds.images, clouds.texts)
    table = pd.DataFrame(
        {
            "feature": range(len(energy)),
            "separation": geometry.separation(clouds.images, clouds.texts).numpy(),
            "share of the gap": (energy / energy.sum()).numpy(),
        }
    )
    return table.sort_values("separation", ascending=False, kind="stable", ignore_index=True)
