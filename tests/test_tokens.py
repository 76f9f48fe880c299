"""Prompts with learned rows: the ids and states that plain diffusers makes of an added token."""

import copy
import logging

import pytest
import tiny
import torch

from helpers import tokens
from helpers.config import InputError


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


def test_ids_without_placeholder_are_the_tokenizers(pipeline):
    texts = ["a photo of a dog", "", "an anime illustration of character on the moon"]
    whole = pipeline.tokenizer(texts, padding="max_length", max_length=tiny.TEXT_LENGTH, return_tensors="pt").input_ids
    assert torch.equal(tokens.tokenize(pipeline.tokenizer, texts), whole)


@pytest.mark.parametrize("count", [1, 3])
def test_states_are_those_of_a_loaded_textual_inversion(count):
    pipeline, rows = tiny.pipeline(), torch.randn(count, tiny.WIDTH)
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)
    prompt = "a photo of S*, on the moon"
    ids = tokens.tokenize(pipeline.tokenizer, [prompt], vectors=count)
    ours = tokens.encode(pipeline.text_encoder, ids, rows=rows)
    pipeline.load_textual_inversion({"<s*>": rows if count > 1 else rows[0]})
    theirs, _ = pipeline.encode_prompt(prompt.replace("S*", "<s*>"), "cpu", 1, False)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_two_tokens_share_the_rows_where_a_prompt_has_both(pipeline):
    rows = torch.randn(4, tiny.WIDTH)
    both, alone = tokens.tokenize(pipeline.tokenizer, ["a photo of S* and T*", "a photo of S*"], vectors=4)
    assert [int(i) for i in both if i < 0] == [-1, -2, -3, -4] and (alone < 0).sum() == 4
    first = tokens.tokenize(pipeline.tokenizer, ["a photo of S*"], vectors=2)
    cut = int((both < 0).nonzero()[1]) + 1
    states = [tokens.encode(pipeline.text_encoder, ids[None], rows=rows) for ids in (both, first[0])]
    assert torch.allclose(states[0][0, :cut], states[1][0, :cut], atol=1e-6), "S* reads the first half"


def test_only_the_rows_of_the_prompt_get_a_gradient(pipeline):
    rows = torch.randn(3, tiny.WIDTH, requires_grad=True)
    ids = tokens.tokenize(pipeline.tokenizer, ["a photo of S*", "a dog"], vectors=2)
    tokens.encode(pipeline.text_encoder, ids, rows=rows).square().sum().backward()
    assert (rows.grad.abs().sum(dim=1) > 0).tolist() == [True, True, False]
    assert pipeline.text_encoder.get_input_embeddings().weight.grad is None
    assert not pipeline.text_encoder.get_input_embeddings()._forward_hooks


def test_a_placeholder_without_rows_is_an_error(pipeline):
    with pytest.raises(ValueError, match="rows are needed"):
        tokens.encode(pipeline.text_encoder, tokens.tokenize(pipeline.tokenizer, ["a photo of S*"]))


def test_a_long_prompt_loses_its_end_with_a_warning(pipeline, caplog):
    with caplog.at_level(logging.WARNING):
        ids = tokens.tokenize(pipeline.tokenizer, ["photo " * 40])
    assert ids.shape == (1, tiny.TEXT_LENGTH)
    assert ids[0, -1] == pipeline.tokenizer.eos_token_id
    assert "40 tokens" in caplog.text


def test_class_words(pipeline):
    words = pipeline.tokenizer
    assert tokens.class_word_ids(words, "Toy dog") == tokens.piece_ids(words, "toy dog")
    with pytest.raises(InputError, match="'charakter' is not .* serve are character, .*girl.* with class_word"):
        tokens.class_word_ids(words, "charakter")
    with pytest.raises(InputError, match="toy"):
        tokens.class_word_ids(words, "toy zebra")


@pytest.mark.parametrize("token", ["", "two words", "dog", "<S*>", "<|endoftext|>"])
def test_placeholders_that_are_refused(pipeline, token):
    with pytest.raises(InputError, match="placeholder token"):
        tokens.check_placeholder(pipeline.tokenizer, token)


def test_placeholders_that_serve(pipeline):
    for token in ("<s*>", "s*", "<miko-2>"):
        tokens.check_placeholder(pipeline.tokenizer, token)
