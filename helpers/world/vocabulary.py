"""The CLIPTokenizer of the chibi world: byte-pair merges in which every word of the captions is one token."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from helpers.world.captions import vocabulary

MAX_LENGTH = 48  # tokens of a prompt, start and end included


def make_tokenizer() -> CLIPTokenizer:
    """Train the merges on the vocabulary, each word once.

    End-of-text has the largest id, as open_clip's pooling wants it.
    """
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = sorted({letter for word in vocabulary() for letter in word})
    trainer = trainers.BpeTrainer(
        vocab_size=30_000, min_frequency=1, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False
    )
    trained.train_from_iterator(vocabulary(), trainer)
    state = json.loads(trained.to_str())["model"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in state["merges"]]
    tokens = list(
        dict.fromkeys([*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)])
    )
    vocab = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH)
