"""Hidden states of the text encoder by layer and position, and what its final layer norm makes of them.

A Stable Diffusion UNet reads the state of every position after the final layer norm: start of text, words, end of
text, padding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from helpers import tokens
from helpers.config import InputError
from helpers.prompts import PLACEHOLDER, TEMPLATES

TEMPLATE = TEMPLATES["anime"][0]
"""The fixed prompt: S* stands at index 5 in it."""
TOLERANCE = 1e-4
"""Relative difference that rounding may make between states that should be equal."""


@torch.no_grad()
def layer_states(encoder: nn.Module, ids: Tensor, *, batch: int = 64) -> Tensor:
    """States [S, N, L, D] of ids [N, L], float32 on the CPU: the embeddings, after each block, after the final norm.

    The last but one is before the final layer norm.
    """
    parts = []
    for part in ids.split(batch):
        found = encoder(part.to(encoder.device), output_hidden_states=True)
        parts.append(torch.stack([*found.hidden_states, found.last_hidden_state]).float().cpu())
    return torch.cat(parts, dim=1)


def final_norm(encoder: nn.Module) -> nn.LayerNorm:
    """The layer norm that all states pass last.

    Raises:
        InputError: the encoder ends otherwise.
    """
    found = getattr(getattr(encoder, "text_model", encoder), "final_layer_norm", None)
    if not isinstance(found, nn.LayerNorm):
        raise InputError("this model's text encoder has no final layer norm: name a Stable Diffusion 1.x or 2.x model.")
    return found


def normed(states: Tensor, norm: nn.LayerNorm) -> Tensor:
    """z = (h - beta) / gamma of states [..., D]."""
    return (states - norm.bias.to(states)) / norm.weight.to(states)


def untrained_like(encoder: nn.Module, *, seed: int) -> nn.Module:
    """An encoder of the same shape with the random weights it started from; a draw of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = type(encoder)(copy.deepcopy(encoder.config))
    return twin.eval().requires_grad_(False).to(encoder.device, encoder.dtype)


def end_of_text(ids: Tensor, eos: int) -> Tensor:
    """Index [N] of the end-of-text token in ids [N, L]: the first one, since padding may be the same token."""
    return (ids == eos).int().argmax(1)


def placeholder_index(tokenizer: PreTrainedTokenizerBase) -> int:
    """Where S* stands in TEMPLATE: 5 if each of its words is one token."""
    return int((tokens.tokenize(tokenizer, [TEMPLATE]) < 0).int().argmax())


def template_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> Tensor:
    """Ids [N, L] of TEMPLATE with each word in S*'s place."""
    return tokens.tokenize(tokenizer, [TEMPLATE.replace(PLACEHOLDER, word) for word in words])


def long_enough(ids: Tensor, eos: int, index: int) -> Tensor:
    """Which captions [N] have a word at an index.

    Raises:
        InputError: fewer than 3 have.
    """
    kept = end_of_text(ids, eos) > index
    if kept.sum() < 3:
        raise InputError(
            f"{int(kept.sum())} of {len(kept)} captions have a word at index {index}: give 3 or more captions of "
            f"{index} words or more."
        )
    return kept


def check_causal(encoder: nn.Module, ids: Tensor, eos: int) -> dict[str, float]:
    """How far the start token's state varies, and states up to end-of-text depend on the padding; relative to the
    size of each layer's states, the most of all layers. A causal encoder gives 0 both times, but for rounding.

    Args:
        encoder: reads the ids.
        ids: [N, L].
        eos: id of end-of-text.

    Raises:
        ValueError: one is more than rounding.
    """
    states, last = layer_states(encoder, ids), end_of_text(ids, eos)
    after = torch.arange(ids.shape[1]) > last[:, None]
    other = layer_states(encoder, torch.where(after, ids[:, 1:2], ids))
    sizes = states.flatten(1).abs().amax(1)
    start = (states[:, :, 0] - states[:, :1, 0]).flatten(1).abs().amax(1)
    padding = ((states - other).abs() * ~after[..., None]).flatten(1).amax(1)
    differs = {"start": (start / sizes).max().item(), "padding": (padding / sizes).max().item()}
    if max(differs.values()) > TOLERANCE:
        raise ValueError(f"the text encoder is not causal: {differs}")
    return differs


def patched(states: Tensor, source: Tensor, positions: Sequence[int]) -> Tensor:
    """States [..., L, D] in which some positions are another prompt's."""
    found = states.clone()
    found[..., list(positions), :] = source[..., list(positions), :]
    return found


def position_sets(index: int, length: int) -> dict[str, tuple[int, ...]]:
    """Sets of positions of TEMPLATE with a name at `index`, padded to `length`, by what they are called in reports."""
    everything = tuple(range(index, length))
    return {
        "none": (),
        f"index {index}": (index,),
        "end of text": (index + 1,),
        "padding": everything[2:],
        "all after the name": everything[1:],
        f"index {index} and padding": (index, *everything[2:]),
        "all": everything,
    }
