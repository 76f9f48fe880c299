"""Shells in the text encoder: over captions (population A) and over the words that may stand in S*'s place (B)."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from helpers import geometry, tokens
from helpers.config import InputError
from helpers.states import end_of_text, final_norm, layer_states, long_enough, normed, template_ids, untrained_like
from helpers.stats import LEVEL, Interval, jackknife, jackknife_each, widened

FEWEST = 20
"""Texts without which a position of the map stays blank."""
WORDS_NEEDED = 8
GROUPS = 50
"""Parts of the texts that are left out in turn for an interval."""
INITS = 8
"""Draws of random weights."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Texts of an encoder, tokenized."""

    ids: Tensor
    """[N, L]."""
    kept: Tensor
    """[N, L] bool: the positions that count."""
    unit: str
    """What the texts are, in the plural."""


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What an encoder makes of a population."""

    shells: pd.DataFrame
    """See `shell_map`."""
    before: Tensor
    """[N, L, D] states before the final norm."""
    after: Tensor
    """[N, L, D] states after it, which the UNet reads."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What an encoder makes of both populations."""

    captions: Surveyed
    words: Surveyed
    norm: nn.LayerNorm
    """The final one."""

    def off_ellipsoid(self, index: int) -> float:
        """The largest relative deviation of ||z|| from sqrt(D), of population B's states at an index."""
        z = normed(self.words.after[:, index].double(), self.norm)
        return (z.norm(dim=1) / z.shape[1] ** 0.5 - 1).abs().max().item()

    def off_centre(self, states: Tensor) -> float:
        """How far the mean of states [N, D] after the norm is from beta, over the ellipsoid's radius: ||mean z|| /
        sqrt(D). On a sphere, the nearer a population's mean is to the centre, the thinner its shell around it."""
        return (normed(states.double(), self.norm).mean(0).norm() / states.shape[1] ** 0.5).item()


def nouns(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, names: Sequence[str] = ()) -> list[str]:
    """Words to stand in S*'s place: names, and what follows an article in the texts, most frequent first.

    Adjectives follow articles as well. Only words that are one token.

    Raises:
        InputError: fewer than WORDS_NEEDED are left.
    """
    after = Counter(word for text in texts for word in re.findall(r"\b(?:an?|the)\s+([a-z]{3,})\b", text.lower()))
    words = dict.fromkeys([*names, *(word for word, _ in after.most_common()), *tokens.GENERAL_WORDS])
    found = [word for word in words if len(tokens.piece_ids(tokenizer, word)) == 1]
    if len(found) < WORDS_NEEDED:
        raise InputError(
            f"{len(found)} words after an article in the captions are one token of this model, {WORDS_NEEDED} are "
            "needed: give other captions."
        )
    return found


def of_captions(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, index: int) -> Population:
    """Population A: captions that have a word at `index`; of each, the positions of its words and its end-of-text.

    Raises:
        InputError: fewer than 3 captions are long enough.
    """
    plain = [re.sub(r"(?<=[ST])(?=\*|_i)", " ", text) for text in texts]  # a caption's S* is no placeholder
    ids = tokens.tokenize(tokenizer, plain)
    ids = ids[long_enough(ids, tokenizer.eos_token_id, index)]
    kept = torch.arange(ids.shape[1]) <= end_of_text(ids, tokenizer.eos_token_id)[:, None]
    return Population(ids=ids, kept=kept, unit="captions")


def of_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> Population:
    """Population B: the fixed template with each word in S*'s place; all positions."""
    ids = template_ids(tokenizer, words)
    return Population(ids=ids, kept=torch.ones_like(ids, dtype=torch.bool), unit="words")


def shell_map(states: Tensor, kept: Tensor) -> pd.DataFrame:
    """The shell at each layer and position: columns layer, position, n, cv, participation_ratio, over_gaussian.

    The Gaussian's CV is 1 / sqrt(2 PR), without which each cell would take an eigenvalue problem. Positions of fewer
    than FEWEST texts, and those whose state is the same in all texts, are left out.

    Args:
        states: [S, N, L, D].
        kept: [N, L] bool, which texts count at which position.
    """
    rows = []
    for position in range(kept.shape[1]):
        chosen = kept[:, position]
        if chosen.sum() < FEWEST:
            continue
        for layer, points in enumerate(states[:, chosen, position].double()):
            if geometry.distances(points).max() > 1e-4 * points.norm(dim=1).mean():
                cv, ratio = geometry.shell_cv(points), geometry.participation_ratio(points)
                over = cv * (2 * ratio) ** 0.5
                rows.append([layer, position, len(points), cv, ratio, over])
    return pd.DataFrame(rows, columns=["layer", "position", "n", "cv", "participation_ratio", "over_gaussian"])


def survey(encoder: nn.Module, population: Population) -> Surveyed:
    """Read a population; of its states by layer only the last two stay in memory."""
    states = layer_states(encoder, population.ids)
    return Surveyed(shells=shell_map(states, population.kept), before=states[-2].clone(), after=states[-1].clone())


def encoded(encoder: nn.Module, captions: Population, words: Population) -> Encoded:
    """Read both populations."""
    norm = copy.deepcopy(final_norm(encoder)).cpu()
    return Encoded(captions=survey(encoder, captions), words=survey(encoder, words), norm=norm)


def shells_at(states: Tensor, *, unit: str, level: float = LEVEL) -> dict[str, Interval]:
    """The shell of states [N, D] around their mean, with intervals over texts: cv, gaussian_cv (of a normal
    distribution with their covariance), over_gaussian (the ratio), participation_ratio."""

    def numbers(chosen: np.ndarray) -> dict[str, float]:
        mine = points[chosen]
        found = {"cv": geometry.shell_cv(mine), "gaussian_cv": geometry.gaussian_cv(mine)}
        over = found["cv"] / found["gaussian_cv"]
        return found | {"over_gaussian": over, "participation_ratio": geometry.participation_ratio(mine)}

    points = states.double()
    return jackknife_each(numbers, n=len(points), unit=unit, groups=GROUPS, level=level)


def untrained_shells(encoder: nn.Module, words: Population, *, index: int, seed: int) -> list[Tensor]:
    """States [M, D] after the final norm of population B at an index, in INITS encoders of random weights."""
    twins = (untrained_like(encoder, seed=seed + draw) for draw in range(INITS))
    return [layer_states(twin, words.ids)[-1, :, index].double() for twin in twins]


def untrained_cv(untrained: Sequence[Tensor], trained: Tensor | None = None) -> Interval:
    """Mean CV over draws of weights, of states [M, D] each, or its ratio to the trained encoder's.

    The interval is over words, widened by the spread of the draws of weights.
    """

    def ratios(chosen: np.ndarray) -> np.ndarray:
        below = 1.0 if trained is None else geometry.shell_cv(trained[chosen])
        return np.array([geometry.shell_cv(points[chosen]) for points in untrained]) / below

    n = len(untrained[0])
    found = jackknife(lambda chosen: float(ratios(chosen).mean()), n=n, unit="words", groups=GROUPS)
    return widened(found, ratios(np.arange(n)))
