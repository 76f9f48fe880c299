"""From prompts to text states, with learned rows in S*'s place.

A learned token never enters the tokenizer or the embedding table: `tokenize` writes the id -1 - k
where S* stands, and `encode` puts row k of a tensor there. So a pipeline stays as it was loaded,
several tokens of several runs fit into one batch, and only the rows can receive a gradient.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from helpers.config import InputError
from helpers.prompts import IMAGE_PLACEHOLDER, PLACEHOLDER, SECOND_PLACEHOLDER

log = logging.getLogger(__name__)

WORD_END = "</w>"
IMAGE_TOKEN = -(10**6)
"""Stands where a prompt has S_i, the row of a training image, until `of_images` puts the image's own id there."""
GENERAL_WORDS = (
    "character",
    "girl",
    "boy",
    "person",
    "figure",
    "kid",
    "woman",
    "man",
    "toy",
    "animal",
    "object",
    "dog",
    "cat",
    "thing",
)


def piece_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text, without start and end tokens."""
    return tokenizer(text, add_special_tokens=False).input_ids if text.strip() else []


def check_placeholder(tokenizer: PreTrainedTokenizerBase, token: str) -> None:
    """Raise InputError if the placeholder token is no lower-case word, or is already one of the model's words.

    CLIP's tokenizer lower-cases what it reads: diffusers would not find the further vectors of an
    upper-case token again.
    """
    if not token or token.split() != [token] or token != token.lower():
        raise InputError(f"placeholder token {token!r} is not one lower-case word: choose one such as <s*>.")
    if len(piece_ids(tokenizer, token)) == 1:
        raise InputError(f"placeholder token {token!r} is already a word of this model: choose another, such as <s*>.")


def class_word_ids(tokenizer: PreTrainedTokenizerBase, class_word: str) -> list[int]:
    """Token ids of the class word; several words may be given, each must be one token of the vocabulary.

    Raises:
        InputError: a word is unknown to the tokenizer, or known only in pieces without meaning.
    """
    ids = [piece_ids(tokenizer, word) for word in class_word.split()]
    for word, pieces in zip(class_word.split(), ids, strict=True):
        if len(pieces) != 1 or pieces[0] in tokenizer.all_special_ids:
            raise InputError(
                f"class word {word!r} is not in this model's vocabulary; words that could serve are "
                f"{', '.join(similar_words(tokenizer, word)) or 'none near it'}; "
                "name another with class_word (CLASS_WORD=... with make)."
            )
    return [pieces[0] for pieces in ids]


def similar_words(tokenizer: PreTrainedTokenizerBase, word: str) -> list[str]:
    """Words of the vocabulary: at most four near in spelling, then the general words it has."""
    ends = (token.removesuffix(WORD_END) for token in tokenizer.get_vocab() if token.endswith(WORD_END))
    words = sorted(end for end in ends if end.isalpha() and len(end) > 2)
    near = difflib.get_close_matches(word.lower(), words, n=4, cutoff=0.75)
    return near + [general for general in GENERAL_WORDS if general in words and general not in near]


def tokenize(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], *, vectors: int = 1) -> Tensor:
    """Ids [N, L] of the prompts, padded to the tokenizer's length L, -1 to -vectors for S*, IMAGE_TOKEN for S_i.

    Where a prompt has T* too the vectors are shared: the first half stands for S*, the second for T*. A prompt that is
    too long loses its end, as in Stable Diffusion, with a warning in the log.
    """
    length = tokenizer.model_max_length
    rows = [-1 - k for k in range(vectors)]
    alone = {PLACEHOLDER: rows, IMAGE_PLACEHOLDER: [IMAGE_TOKEN]}
    shared = alone | {PLACEHOLDER: rows[: vectors // 2], SECOND_PLACEHOLDER: rows[vectors // 2 :]}
    between = re.compile("|".join(f"({re.escape(mark)})" for mark in shared))
    ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
    for row, prompt in zip(ids, prompts, strict=True):
        marks = shared if SECOND_PLACEHOLDER in prompt else alone
        parts = [part for part in between.split(prompt) if part]
        body = [token for part in parts for token in marks.get(part) or piece_ids(tokenizer, part)]
        if len(body) > length - 2:
            log.warning("prompt %r has %d tokens, the model reads the first %d", prompt, len(body), length - 2)
        whole = [tokenizer.bos_token_id, *body[: length - 2], tokenizer.eos_token_id]
        row[: len(whole)] = torch.tensor(whole)
    return ids


def of_images(ids: Tensor, images: Tensor, *, first: int) -> Tensor:
    """Ids [..., N, L] in which S_i reads row first + images[n] for prompt n."""
    return torch.where(ids == IMAGE_TOKEN, (-1 - first - images)[:, None], ids)


def encode(text_encoder: nn.Module, ids: Tensor, *, rows: Tensor | None = None) -> Tensor:
    """Text states [..., N, L, D] of ids [..., N, L], where id -1 - k reads row k of rows [..., K, D].

    The leading dimensions are runs, each with rows of its own. Differentiable with respect to the rows. These are the
    states after the final layer norm, which condition Stable Diffusion's UNet.

    Raises:
        ValueError: the ids name a learned row and no rows are given.
    """
    flat = ids.flatten(0, -2)
    learned = flat < 0
    if rows is None:
        if learned.any():
            raise ValueError("the prompt has S* in it, so rows are needed")
        return text_encoder(flat).last_hidden_state.unflatten(0, ids.shape[:-1])
    first = torch.arange(0, rows.flatten(0, -2).shape[0], rows.shape[-2], device=ids.device)  # of each run's rows
    which = first.view(*ids.shape[:-2], 1, 1) + (-1 - ids).clamp(min=0)

    def insert_rows(module: nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        chosen = rows.flatten(0, -2)[which.flatten(0, -2)]
        return torch.where(learned.unsqueeze(-1), chosen.to(output.dtype), output)

    hook = text_encoder.get_input_embeddings().register_forward_hook(insert_rows)
    try:
        states = text_encoder(flat.clamp(min=0)).last_hidden_state
    finally:
        hook.remove()
    return states.unflatten(0, ids.shape[:-1])


def prompt_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], subject: str, *, vectors: int) -> Tensor:
    """Ids [T, L] of the templates with the subject in S*'s place."""
    if PLACEHOLDER in subject and not vectors:
        raise ValueError("the subject has S* in it, so rows are needed")
    prompts = [text.replace(PLACEHOLDER, subject) for text in texts]
    return tokenize(tokenizer, prompts, vectors=vectors)
