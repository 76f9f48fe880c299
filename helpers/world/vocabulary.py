"""The CLIPTokenizer of the chibi world: byte-pair merges in which every word of the captions is one token."""

from __future__ import annotations

import functools
from collections import Counter

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from helpers.world import captions
from helpers.world import scene as w
from helpers.world.population import HELD_OUT_NAMES, NAMES

MAX_LENGTH = 48  # tokens of a prompt, start and end included
Pair = tuple[str, str]


@functools.cache
def make_tokenizer() -> CLIPTokenizer:
    """The tokenizer whose merges make every word of the vocabulary one token.

    End-of-text has the largest id, as open_clip's pooling wants it.
    """
    merges = learn_merges(vocabulary())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH)


def learn_merges(words: list[str]) -> list[Pair]:
    """Byte-pair merges (Sennrich et al., 1508.07909, algorithm 1) until each word is one piece.

    Of equally frequent pairs the alphabetically first is merged: the tokenizers library leaves ties to chance,
    and ids have to be the same in every process.
    """
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[Pair] = []
    while any(len(word) > 1 for word in pieces):
        counts = Counter(pair for word in pieces for pair in zip(word, word[1:], strict=False))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = [merged(word, best) for word in pieces]
    return merges


def merged(word: list[str], pair: Pair) -> list[str]:
    """The word with each occurrence of the pair as one piece, from left to right."""
    result: list[str] = []
    for piece in word:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


def vocabulary() -> list[str]:
    """Every word a caption, a template or an edit prompt can hold, sorted: each becomes one token."""
    words: set[str] = (
        set(NAMES)
        | set(HELD_OUT_NAMES)
        | set(captions.CLASS_WORDS)
        | set(captions.RARE_WORDS)
        | captions.ARTICLES
        | {"my", "and", "with", "wearing", "one"}
    )
    for table in (
        w.COLOURS,
        w.HAIR_COLOURS,
        w.EYE_COLOURS,
        w.HAIR_STYLES,
        w.GARMENTS,
        w.PATTERNS,
        w.EMBLEMS,
        w.ACCESSORIES,
        w.BACKGROUNDS,
        w.OBJECTS,
        w.ART_STYLES,
        w.POSES,
        w.PLACES,
        w.SKINS,
    ):
        words |= set(table)
    phrases = [p[0] for p in captions.BACKGROUND_PHRASES.values()] + list(captions.PLACE_PHRASES.values())
    phrases += [opening for openings in captions.STYLE_OPENINGS.values() for opening in openings]
    phrases += [
        *captions.NEUTRAL_NOUNS,
        *captions.NEUTRAL_ADJECTIVES,
        *captions.SUBJECT_ADJECTIVES,
        "in the style of",
        "next to",
        "hair eyes skin emblem",
    ]
    words |= {word for phrase in phrases for word in phrase.replace("-", " ").split()}
    return sorted(words - {"none"})
