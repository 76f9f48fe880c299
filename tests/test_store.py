"""A run is whole or it is not there."""

import errno
import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from helpers import store
from helpers.config import InputError

CONFIG = {"concept": "alba", "training": {"learning_rate": 0.01, "checkpoints": [1, 2]}}


def write(folder, run="abc", score=0.5):
    with store.written(folder, run, seconds=3.0, peak_memory=10) as found:
        found.config(CONFIG)
        found.metrics(pd.DataFrame({"step": [0, 1], "loss": [0.5, float("nan")]}))
        found.checkpoint(2, {"rows": torch.ones(3, 4)[:, :2]})
        found.scores(pd.DataFrame({"index": [0, 1], "score": [score, 1.0]}))
        found.sheet(b"png")
    return folder / run


def test_a_run_is_a_folder_that_says_how_it_came_about(tmp_path):
    folder = write(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "config.json", "metrics.jsonl", "checkpoints/000002.safetensors", "scores.parquet", "samples.png",
        "result.json",
    }  # fmt: skip
    assert result["status"] == "finished" and (result["seconds"], result["peak_memory"]) == (3.0, 10)
    assert {"commit", "dirty", "packages", "threads", "files"} <= set(result)
    assert torch.equal(load_file(folder / "checkpoints" / "000002.safetensors")["rows"], torch.ones(3, 2))
    assert pd.read_json(folder / "metrics.jsonl", lines=True)["loss"].isna().tolist() == [False, True]
    assert store.status(tmp_path, "abc") == "finished" and [p.name for p in tmp_path.iterdir()] == ["abc"]


@pytest.mark.parametrize("name", ["scores.parquet", "result.json", "checkpoints/000002.safetensors"])
def test_a_file_that_was_cut_off_is_found_out(tmp_path, name, caplog):
    path = write(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-5])
    assert store.status(tmp_path, "abc") == ""
    assert "abc is damaged" in caplog.text
    write(tmp_path)
    assert store.status(tmp_path, "abc") == "finished"


def test_a_missing_file_is_found_out(tmp_path):
    (write(tmp_path) / "scores.parquet").unlink()
    assert store.status(tmp_path, "abc") == ""


def test_an_error_while_writing_leaves_the_run_as_it_was(tmp_path):
    write(tmp_path)
    with pytest.raises(RuntimeError), store.written(tmp_path, "abc") as found:
        found.config({})
        raise RuntimeError
    assert store.status(tmp_path, "abc") == "finished" and [p.name for p in tmp_path.iterdir()] == ["abc"]


def test_a_full_disk_is_one_sentence(tmp_path):
    write(tmp_path, "first")
    with pytest.raises(InputError, match=r"disk of .* is full.*intact"), store.room_on_disk(tmp_path):  # noqa: SIM117
        with store.written(tmp_path, "abc") as found:
            found.config(CONFIG)
            raise OSError(errno.ENOSPC, "No space left on device")
    assert store.status(tmp_path, "abc") == "" and store.status(tmp_path, "first") == "finished"


def test_a_failure_is_recorded_and_may_be_made_good(tmp_path):
    store.write_failure(tmp_path, "abc", CONFIG, "out of memory")
    assert store.status(tmp_path, "abc") == "failed"
    assert json.loads((tmp_path / "abc" / "result.json").read_text())["error"] == "out of memory"
    write(tmp_path)
    assert store.status(tmp_path, "abc") == "finished"


def test_all_rows_are_one_table(tmp_path):
    write(tmp_path / "runs", "abc", score=0.25)
    write(tmp_path / "runs", "def", score=0.75)
    store.write_failure(tmp_path / "runs", "ghi", CONFIG, "why")
    committed = tmp_path / "full"
    committed.mkdir()
    pd.DataFrame({"run": ["def", "xyz"], "score": [0.1, 0.2]}).to_parquet(committed / "02.parquet")
    pd.DataFrame({"other": [1]}).to_parquet(committed / "00.parquet")
    table = store.load_runs(tmp_path / "runs", committed=committed)
    assert sorted(table["run"]) == ["abc", "abc", "def", "xyz"] and set(table.loc[table["run"] == "def", "score"]) == {
        0.1
    }
    ours = table[table["run"] == "abc"]
    assert set(ours["concept"]) == {"alba"} and set(ours["training.learning_rate"]) == {0.01}
    assert set(ours["training.checkpoints"]) == {"1 2"}
    only = store.load_runs(tmp_path / "runs", committed=committed, runs=["abc", "xyz"])
    assert set(only["run"]) == {"abc", "xyz"}
    assert store.load_runs(tmp_path / "nothing", committed=None).empty
