"""What a person would say of a character, in words that the model knows."""

import dataclasses

import pytest

from helpers.models import load_pipeline
from helpers.tokens import piece_ids
from helpers.world.newcomers import CONFIRM, DEVELOP, newcomer
from helpers.world.spoken import long_description, short_description


@pytest.fixture(scope="module")
def characters():
    return [newcomer(n).character for n in range(len(DEVELOP) + len(CONFIRM))]


def test_descriptions_are_as_long_as_the_papers(characters):
    for character in characters:
        short, long = short_description(character), long_description(character)
        assert len(short.split()) <= 12 < len(long.split()) <= 30


def test_every_word_is_one_that_the_model_knows(characters):
    tokenizer = load_pipeline("chibi", device="cpu").tokenizer
    for character in characters:
        for word in long_description(character).split():
            assert len(piece_ids(tokenizer, word)) == 1, word


def test_what_has_no_word_is_left_out_and_the_rest_is_right(characters):
    character = dataclasses.replace(
        characters[0], hair_style="curly", hair_colour=(240, 140, 40), garment="shirt", garment_colour=(240, 130, 40),
        emblem="ring", accessory="glasses", pattern="plain", eye_left=(60, 100, 210), skin=(255, 226, 204),
    )  # fmt: skip
    assert short_description(character) == "character with orange hair wearing an orange shirt"
    assert long_description(character) == (
        "character with orange hair with blue eyes with pale skin wearing an orange shirt with glasses"
    )
