"""A finished training is kept and not made again."""

import pytest
import torch

from helpers import kept
from helpers.config import InversionConfig
from helpers.inversion import Inversion

CONFIG = InversionConfig(class_word="character", steps=2)


def made(failed_at=None):
    return Inversion(
        config=CONFIG,
        initial=torch.zeros(1, 4),
        checkpoints={1: torch.full((1, 4), 0.5), 2: torch.ones(1, 4)},
        image_rows=torch.zeros(0, 4),
        history={"loss": torch.tensor([0.1, 1e-30], dtype=torch.float64)},
        failed_at=failed_at,
    )


@pytest.mark.parametrize("failed_at", [None, 1])
def test_a_training_is_made_once(tmp_path, failed_at):
    calls = []

    def make():
        calls.append(1)
        return made(failed_at)

    first, second = (kept.kept_inversion("abc", config=CONFIG, make=make, folder=tmp_path / "runs") for _ in range(2))
    assert len(calls) == 1
    assert torch.equal(first.rows, second.rows) and torch.equal(first.initial, second.initial)
    assert torch.equal(first.history["loss"], second.history["loss"]) and sorted(second.checkpoints) == [1, 2]
    assert (first.failed_at, first.config) == (second.failed_at, second.config)


def test_a_failed_training_leaves_nothing(tmp_path):
    def make():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        kept.kept_inversion("abc", config=CONFIG, make=make, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_made_again(tmp_path):
    (tmp_path / "abc.safetensors").write_bytes(b"broken")
    again = kept.kept_inversion("abc", config=CONFIG, make=made, folder=tmp_path)
    assert torch.equal(again.rows, made().rows)
