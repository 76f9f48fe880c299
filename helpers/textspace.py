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
from helpers.stats import Interval, jackknife_each

FEWEST = 20
"""Rows without which a position of the map stays blank."""
GROUPS = 50
"""Parts of the words that are left out in turn for an interval."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Texts of an encoder, tokenized."""

    ids: Tensor
    """[N, L]."""
    kept: Tensor
    """[N, L] bool: the positions that count."""
    texts: tuple[str, ...]


def nouns(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, names: Sequence[str] = ()) -> list[str]:
    """Words to stand in S*'s place: names, and what follows an article in the texts, most frequent first.

    Adjectives follow articles as well. Only words that are one token.

    Raises:
        InputError: fewer than 3 are left.
    """
    after = Counter(word for text in texts for word in re.findall(r"\b(?:an?|the)\s+([a-z]{3,})\b", text.lower()))
    words = dict.fromkeys([*names, *(word for word, _ in after.most_common()), *tokens.GENERAL_WORDS])
    found = [word for word in words if len(tokens.piece_ids(tokenizer, word)) == 1]
    if len(found) < 3:
        raise InputError(f"{len(found)} words of the captions are one token of this model: give other captions.")
    return found


def of_captions(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, index: int) -> Population:
    """Population A: captions that have a word at `index`; of each, the positions of its words.

    Raises:
        InputError: fewer than 3 captions are long enough.
    """
    ids, texts = tokens.tokenize(tokenizer, texts), np.array(texts, object)
    enough = long_enough(ids, tokenizer.eos_token_id, index)
    ids = ids[enough]
    kept = torch.arange(ids.shape[1]) <= end_of_text(ids, tokenizer.eos_token_id)[:, None]
    return Population(ids=ids, kept=kept, texts=tuple(texts[enough.numpy()]))


def of_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> Population:
    """Population B: the fixed template with each word in S*'s place; all positions."""
    ids = template_ids(tokenizer, words)
    return Population(ids=ids, kept=torch.ones_like(ids, dtype=torch.bool), texts=tuple(words))


def shell_map(states: Tensor, kept: Tensor) -> pd.DataFrame:
    """The shell at each layer and position: columns layer, position, n, cv, gaussian_cv, participation_ratio.

    Positions of fewer than FEWEST texts, and those whose state is the same in all texts, are left out.

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
                rows.append({"layer": layer, "position": position, "n": len(points), **shell(points)})
    return pd.DataFrame(rows)


def shell(points: Tensor) -> dict[str, float]:
    """How thin a cloud's shell is, and what its covariance alone would give."""
    ratio = geometry.participation_ratio(points)
    return {
        "cv": geometry.shell_cv(points),
        "gaussian_cv": geometry.gaussian_cv(points),
        "participation_ratio": ratio,
    }


def shells_at(states: Tensor, *, unit: str) -> dict[str, Interval]:
    """`shell` of states [N, D], and the ratio of the two, each with its interval over texts."""

    def numbers(chosen: np.ndarray) -> dict[str, float]:
        found = shell(points[chosen])
        return found | {"over_gaussian": found["cv"] / found["gaussian_cv"]}

    points = states.double()
    return jackknife_each(numbers, n=len(points), unit=unit, groups=GROUPS)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What an encoder makes of both populations, and its untrained twin."""

    captions: Tensor
    """[S, N, L, D] states of population A by layer; the last but one is before the final norm."""
    words: Tensor
    """[S, M, L, D] of population B."""
    norm: nn.LayerNorm
    """The final one."""

    def ellipsoid(self, index: int) -> dict[str, float]:
        """How exactly states of population B at an index lie on the final norm's ellipsoid: the largest relative
        deviation of ||z|| from sqrt(D), and the largest |sum z| / D."""
        z = normed(self.words[-1, :, index].double(), self.norm)
        length = z.norm(dim=1) / z.shape[1] ** 0.5
        return {"length": (length - 1).abs().max().item(), "sum": z.mean(1).abs().max().item()}


def encoded(encoder: nn.Module, captions: Population, words: Population) -> Encoded:
    """Read both populations."""
    norm = copy.deepcopy(final_norm(encoder)).cpu()
    return Encoded(captions=layer_states(encoder, captions.ids), words=layer_states(encoder, words.ids), norm=norm)


def twins(encoder: nn.Module, captions: Population, words: Population, *, seed: int) -> dict[str, Encoded]:
    """What the trained encoder and an untrained one of the same shape make of both populations."""
    untrained = untrained_like(encoder, seed=seed)
    return {"trained": encoded(encoder, captions, words), "untrained": encoded(untrained, captions, words)}
