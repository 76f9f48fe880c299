"""A finished training is kept and not made again."""

import pytest
import torch

from helpers import kept
from helpers.config import FinetuneConfig, InversionConfig
from helpers.finetune import Finetuning
from helpers.inversion import Inversion

INVERSION, FINETUNING = InversionConfig(class_word="character", steps=2), FinetuneConfig(subject="toy", steps=2)
HISTORY = {"loss": torch.tensor([0.1, 1e-30], dtype=torch.float64)}


def inversion(failed_at=None):
    rows = {1: torch.full((1, 4), 0.5), 2: torch.ones(1, 4)}
    empty = torch.zeros(0, 4)
    return Inversion(
        config=INVERSION, initial=empty[:0], checkpoints=rows, image_rows=empty, history=HISTORY, failed_at=failed_at
    )


def finetuning(failed_at=None):
    return Finetuning(
        config=FINETUNING,
        checkpoints={2: {"down.0.to_q.down": torch.ones(2, 3)}},
        text_checkpoints={2: {}},
        initial_rows=torch.zeros(0, 0),
        rows={2: torch.zeros(0, 0)},
        history=HISTORY,
        failed_at=failed_at,
    )


@pytest.mark.parametrize(("config", "made"), [(INVERSION, inversion), (FINETUNING, finetuning)])
@pytest.mark.parametrize("failed_at", [None, 1])
def test_a_training_is_made_once(tmp_path, config, made, failed_at):
    calls = []

    def make():
        calls.append(1)
        return [made(failed_at)]

    (first,), (second,) = (kept.kept_trainings({"abc": config}, make=make, folder=tmp_path) for _ in range(2))
    assert len(calls) == 1 and type(first) is type(second)
    assert (first.failed_at, first.config) == (second.failed_at, second.config) == (failed_at, config)
    ours, theirs = kept.tensors_of(first), kept.tensors_of(second)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    if made is finetuning:
        assert second.text_checkpoints == {2: {}}


def test_what_is_kept_stays_as_it_was_if_the_others_of_its_batch_are_made(tmp_path):
    kept.kept_trainings({"abc": INVERSION}, make=lambda: [inversion()], folder=tmp_path)
    both = kept.kept_trainings(
        {"abc": INVERSION, "def": INVERSION}, make=lambda: [inversion(1), inversion(1)], folder=tmp_path
    )
    assert [found.failed_at for found in both] == [None, 1]


def test_a_failed_training_leaves_nothing(tmp_path):
    def make():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        kept.kept_trainings({"abc": INVERSION}, make=make, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_made_again(tmp_path, caplog):
    (tmp_path / "abc.safetensors").write_bytes(b"broken")
    (again,) = kept.kept_trainings({"abc": INVERSION}, make=lambda: [inversion()], folder=tmp_path)
    assert torch.equal(again.rows, inversion().rows) and "abc.safetensors is damaged" in caplog.text
