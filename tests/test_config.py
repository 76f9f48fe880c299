"""Configurations are checked, and every field counts."""

import dataclasses

import pytest

from helpers.config import (
    FinetuneConfig,
    InputError,
    InversionConfig,
    ReferenceConfig,
    logged_at,
    results_at,
)
from helpers.hashing import content_hash


def test_every_field_changes_the_hash():
    config = InversionConfig(class_word="toy")
    changed = {"class_word": "dog", "learning_rate": 1e-2, "steps": 5, "batch_size": 2}
    changed |= {"template_set": "anime", "flip_probability": 0.5, "seed": 1, "initializer": "dog", "vectors": 2}
    changed |= {"further_vector_after": 3, "per_image": True, "l2": 0.1, "norm": "fixed", "checkpoints": (3,)}
    changed |= {"log_every": 7}
    assert changed.keys() == {field.name for field in dataclasses.fields(config)}
    hashes = {content_hash(dataclasses.replace(config, **{name: value})) for name, value in changed.items()}
    assert len(hashes | {content_hash(config)}) == len(changed) + 1


def test_distances_are_measured_at_results_and_between_them():
    config = InversionConfig(class_word="toy", steps=250, checkpoints=(100, 30))
    assert results_at(config) == (30, 100, 250) and logged_at(config) == {30, 100, 200, 250}
    assert results_at(ReferenceConfig(class_word="toy")) == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"steps": 0},
        {"class_word": " "},
        {"seed": -1},
        {"flip_probability": 2.0},
        {"norm": "long"},
        {"vectors": 0},
        {"l2": -1.0},
        {"checkpoints": (2000,)},
    ],
)
def test_bad_fields_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        InversionConfig(**{"class_word": "toy", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 0},
        {"timestep_range": (0.8, 0.1)},
        {"subject": ""},
        {"targets": ()},
        {"prior_weight": -1.0},
        {"checkpoints": (0,)},
    ],
)
def test_bad_fields_of_a_finetuning_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        FinetuneConfig(**wrong)
