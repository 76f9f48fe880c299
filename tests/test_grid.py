"""A sweep is data: what a grid holds, and which runs train together."""

import dataclasses

import pytest

from helpers import grid
from helpers.config import FinetuneConfig, InputError, InversionConfig
from helpers.files import ROOT

TEXT = """
method: inversion
concept: [alba, echo]
training: {class_word: character, learning_rate: [1e-3, 0.01], steps: 20, checkpoints: [10, 20], seed: [0, 1]}
evaluation: {photos: 4, sampling: {steps: 5}}
"""


def run(rate=1e-3, **changes):
    training = InversionConfig(class_word="character", learning_rate=rate)
    return grid.RunConfig(**{"concept": "alba", "training": training, **changes})


def load(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return grid.load_grid(path)


def test_lists_are_axes(tmp_path):
    runs = load(tmp_path, TEXT)
    assert len(set(runs)) == 8 and {run.concept for run in runs} == {"alba", "echo"}
    assert {run.training.learning_rate for run in runs} == {1e-3, 1e-2}
    assert {run.training.checkpoints for run in runs} == {(10, 20)} and runs[0].evaluation.sampling.steps == 5


def test_a_pivot_comes_first(tmp_path):
    text = "method: finetuning\nconcept: alba\ntraining: {targets: [to_q]}\npivot: {class_word: toy, seed: [0, 1]}"
    runs = load(tmp_path, text)
    assert [run.pivot.seed for run in runs] == [0, 1] and runs[0].training.targets == ("to_q",)
    assert len(grid.batches(runs, most=8)) == 1
    with pytest.raises(InputError, match="pivot"):
        grid.RunConfig(concept="alba", training=FinetuneConfig())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("concept: alba", "method"),
        (TEXT.replace("photos", "fotos"), "fotos is unknown.*photos"),
        (TEXT.replace("steps: 20", "steps: many"), "steps is 'many'"),
        (TEXT.replace("steps: 20", "steps: true"), "steps is True"),
        (TEXT.replace("concept: [alba, echo]", "seed: 3"), "seed is unknown"),
        (TEXT.replace("concept: [alba, echo]", "model: chibi"), "concept"),
        ("method: inversion\nconcept: alba\ntraining: 3", "training is 3"),
        ("method: [", "not readable"),
    ],
)
def test_bad_grids_are_refused_by_name(tmp_path, text, part):
    with pytest.raises(InputError, match=part):
        load(tmp_path, text)
    with pytest.raises(InputError, match="does not exist"):
        grid.load_grid(tmp_path / "none.yaml")


def test_runs_that_share_a_plan_are_together_and_none_is_twice():
    rates = [run(rate) for rate in (1e-3, 3e-3, 1e-2)]
    other_seed = run(training=dataclasses.replace(rates[0].training, seed=1))
    found = grid.batches([*rates, other_seed, rates[0]], most=8)
    assert found == [tuple(rates), (other_seed,)]


def test_batches_are_even_and_bounded():
    found = grid.batches([run(rate / 1000) for rate in range(1, 11)], most=4)
    assert [len(batch) for batch in found] == [3, 3, 4]
    assert [r for batch in found for r in batch] == [run(rate / 1000) for rate in range(1, 11)]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_committed_sweeps_are_grids(path):
    runs = grid.load_grid(path)
    assert len(set(runs)) == len(runs) > 1
    assert {run.concept for run in runs} <= {folder.name for folder in (ROOT / "data" / "concepts").iterdir()}
