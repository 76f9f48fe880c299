"""Captions that are nearly right: one value replaced by another, or two colours exchanged.

A contrastive loss over a small batch is solved by the few words that tell most pictures apart (backgrounds,
styles), so the text tower never learns whose colour is whose. Captions that differ in one word from the true one make
it learn every word, and what it belongs to (hard negatives: Yuksekgonul et al., arXiv 2210.01936, section 4).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from helpers.world import scene as w
from helpers.world.captions import shown
from helpers.world.population import NAMES
from helpers.world.vocabulary import make_tokenizer

SURROUNDED = {"beach": "on", "moon": "on"} | dict.fromkeys(("forest", "city", "room", "garden", "snow", "desert"), "in")
PREPOSITIONS = SURROUNDED | {"left": "on", "centre": "in", "right": "on"}
PATTERNS = ("striped", "dotted")


@functools.cache
def alternatives(word: str, following: str) -> tuple[str, ...]:
    """Words that could stand in the word's place and mean another value; empty if it names no value."""
    by_following = {"emblem": shown("emblem"), "skin": w.SKINS, "eyes": w.EYE_COLOURS}
    of_hair = following == "hair" or following in w.HAIR_STYLES
    groups: list[Sequence[str]] = [by_following[following]] if following in by_following else []
    groups += [w.HAIR_COLOURS] if of_hair else []
    groups += [w.COLOURS, shown("hair_style"), w.GARMENTS, PATTERNS, shown("accessory"), w.POSES, w.PLACES]
    groups += [SURROUNDED, shown("object"), NAMES]
    found = next((group for group in groups if word in group), ())
    return tuple(other for other in found if other != word)


def near_miss(words: Sequence[str], g: np.random.Generator) -> list[str]:
    """The caption's words with one value replaced by another, or two of its colours exchanged; unchanged if it names
    no value."""
    missed = list(words)
    colours = [i for i, word in enumerate(words) if word in w.HAIR_COLOURS or word in w.COLOURS]
    if len({words[i] for i in colours}) > 1 and g.random() < 0.3:
        i, j = g.choice(colours, 2, replace=False)
        missed[i], missed[j] = missed[j], missed[i]
        return missed
    options = [alternatives(word, after) for word, after in zip(words, [*words[1:], ""], strict=True)]
    places = [i for i, others in enumerate(options) if others]
    if places:
        i = int(g.choice(places))
        missed[i] = str(g.choice(options[i]))
        for k in range(max(0, i - 2), i):  # "in the centre" but "on the left": the preposition must not give it away
            if words[k] == PREPOSITIONS.get(words[i]):
                missed[k] = PREPOSITIONS[missed[i]]
    return missed


def near_misses(ids: Tensor, count: int, g: np.random.Generator) -> Tensor:
    """`count` near misses of each caption.

    Args:
        ids: token ids [n, length], every value one token.
        count: near misses of each caption.
        g: what draws them.

    Returns:
        Token ids [n * count, length], those of one caption in a row. A caption that names no value, or two of a
        colour exchanged for itself, is repeated unchanged: `contrastive` has to leave it out.
    """
    words, numbers = spelled(), numbered()
    rows = []
    for row in ids.tolist():
        for _ in range(count):
            rows.append([numbers[word] for word in near_miss([words[i] for i in row], g)])
    return torch.tensor(rows, dtype=ids.dtype)


@functools.cache
def numbered() -> dict[str, int]:
    """Token id of each token, the mark of a word's end taken off where the whole word is one token."""
    vocabulary = make_tokenizer().get_vocab()
    return {token: i for token, i in vocabulary.items() if not token.endswith("</w>")} | {
        token.removesuffix("</w>"): i for token, i in vocabulary.items() if token.endswith("</w>")
    }


@functools.cache
def spelled() -> dict[int, str]:
    """The word, or piece of one, of each token id."""
    words = {i: word for word, i in numbered().items()}
    return {i: words.get(i, token) for token, i in make_tokenizer().get_vocab().items()}
