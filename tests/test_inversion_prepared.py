"""Sheets and tokens come from the store, or from a committed report that shows the very same runs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import artifacts, store
from helpers import inversion_prepared as prepare
from helpers.config import ReferenceConfig
from helpers.grid import EvaluationConfig, RunConfig
from helpers.inversion_runs import Labelled
from helpers.perform import as_png
from helpers.workbench import prompts_of

EVALUATION = EvaluationConfig(photos=2, edited=9, per_kind=1)


def pictures(count, seed):
    values = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    return values.to(torch.uint8)


@pytest.fixture
def ready(tmp_path):
    """Two runs in a store, and what is known of them."""
    run = RunConfig(concept="alba", training=ReferenceConfig(class_word="character"), evaluation=EVALUATION)
    label = Labelled(section="references", condition="class word", config=run)
    _, counts = prompts_of(EVALUATION)
    for n, name in enumerate(("one", "two")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "samples.png").write_bytes(as_png(pictures(sum(min(8, c) for c in counts), n)))
    empty = {"own": pd.DataFrame(), "reaches": {}, "ceilings": pd.DataFrame(), "styles": {}}
    return prepare.Prepared(runs={"one": [label], "two": [label]}, **empty)


def test_a_sheet_shows_a_runs_pictures_of_a_prompt(ready, tmp_path):
    asked, _ = prompts_of(EVALUATION)
    rows = [("one", asked[0].text), ("two", asked[2].text)]
    options = {"columns": 2, "folder": tmp_path / "runs", "kept": tmp_path / "out" / "02" / "rates.png"}
    found = prepare.sheet(rows, ready, **options)
    first, second = pictures(2, 0), pictures(2 + 8 + 8, 1)[10:12]
    expected = torch.cat([first, second]).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found, expected)


def test_a_kept_sheet_is_shown_only_for_its_own_rows(ready, tmp_path, monkeypatch):
    asked, _ = prompts_of(EVALUATION)
    rows = [("one", asked[0].text), ("two", asked[2].text)]
    committed = tmp_path / "reports" / "full"
    monkeypatch.setattr(store, "COMMITTED", committed)
    found = prepare.sheet(rows, ready, columns=2, folder=tmp_path / "runs", kept=committed / "02" / "rates.png")
    options = {"columns": 2, "folder": tmp_path / "empty", "kept": tmp_path / "elsewhere" / "02" / "rates.png"}
    assert np.array_equal(prepare.sheet(rows, ready, **options), found)
    assert prepare.sheet(rows[:1], ready, **options) is None, "other rows"
    assert prepare.sheet(rows, ready, **options | {"kept": tmp_path / "02" / "other.png"}) is None


def test_a_token_is_that_of_its_run(tmp_path, monkeypatch):
    rows = torch.randn(2, 4)
    with store.written(tmp_path / "runs", "abc") as writing:
        writing.checkpoint(10, {"rows": rows})
    assert torch.equal(prepare.token_of(tmp_path / "runs", "abc", 10, "02/alba.safetensors"), rows)
    committed = tmp_path / "reports" / "full"
    monkeypatch.setattr(store, "COMMITTED", committed)
    assert prepare.token_of(tmp_path / "empty", "abc", 10, "02/alba.safetensors") is None
    artifacts.save_learned_embeds(committed / "02" / "alba.safetensors", rows, placeholder="<s*>")
    report = {"results": {"failed": ["lost"]}, "provenance": {"tokens": {"alba.safetensors": "abc"}}}
    (committed / "02.json").write_text(json.dumps(report))
    assert torch.equal(prepare.token_of(tmp_path / "empty", "abc", 10, "02/alba.safetensors"), rows)
    assert prepare.token_of(tmp_path / "empty", "another", 10, "02/alba.safetensors") is None
    assert prepare.known_failures("02") == {"lost"} and prepare.known_failures("03") == set()
