"""Comparing runs: what the store has of each, paired intervals."""

import pandas as pd
import pytest
import torch

from helpers import scores, store, tradeoff
from helpers.config import ReferenceConfig
from helpers.grid import RunConfig
from helpers.perform import as_png


@pytest.fixture
def run(tmp_path):
    """A run of two prompts, of 10 and of 3 pictures, after 5 and after 9 updates; returns the pictures on its sheet."""
    counts = {"S*": 10, "S* on the moon": 3}
    jobs = [(step, prompt, i) for step in (5, 9) for prompt, n in counts.items() for i in range(n)]
    rows = pd.DataFrame(jobs, columns=["step", "prompt", "index"])
    rows["joint"] = (rows["index"] == 1).astype("boolean").where(rows["prompt"] != "S*")
    pictures = torch.randint(0, 255, (8 + 3, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with store.written(tmp_path, "abc") as writing:
        writing.scores(rows)
        writing.vectors(torch.arange(len(rows)).float()[:, None])
        writing.sheet(as_png(pictures))
    return pictures


def test_a_run_is_read_prompt_by_prompt(run, tmp_path):
    found = tradeoff.drawn_by(tmp_path, "abc", ["S* on the moon"])
    assert found.vectors.tolist() == [[[23.0], [24.0], [25.0]]], "those after the last update"
    assert torch.equal(found.images[0], run[8:])
    assert torch.equal(tradeoff.drawn_by(tmp_path, "abc", ["S*"]).images[0], run[:8])
    both = tradeoff.Measured(prompts=("a", "b"), vectors=torch.rand(2, 3, 1), images=torch.rand(2, 1, 3, 4, 4))
    assert both.of([1]).prompts == ("b",) and torch.equal(both.of([1]).vectors[0], both.vectors[1])


def test_shares_count_images_with_a_value(run, tmp_path):
    rows = store.load_scores(tmp_path, "abc")
    found = tradeoff.share_over_images(rows[rows["step"] == 9], "joint", prompts=["S*", "S* on the moon"])
    assert (found.value, found.n, found.unit) == (pytest.approx(1 / 3), 3, "images")
    none = rows.assign(joint=rows["joint"].where(rows["joint"].isna(), other=False))
    lost = tradeoff.share_over_images(
        none[none["step"] == 9], "joint", prompts=["S* on the moon"], against=rows[rows["step"] == 9]
    )
    assert lost.value == pytest.approx(-1 / 3)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def measured(vectors):
    prompts = tuple(f"prompt {n}" for n in range(len(vectors)))
    return tradeoff.Measured(prompts=prompts, vectors=vectors, images=torch.empty(0))


def test_intervals_are_over_images_and_differences_are_paired():
    references, vectors = unit(3, 8, seed=1), unit(2, 20, 8)
    nearer = torch.nn.functional.normalize(vectors + 0.2 * references.mean(0), dim=-1)
    one, other = measured(nearer), measured(vectors)

    def kept(v):
        return scores.reconstruction(v, references)

    alone, difference = tradeoff.over_images(kept, one), tradeoff.over_images(kept, one, other)
    assert (alone.n, alone.unit) == (20, "images")
    assert alone.value == pytest.approx(kept(nearer).mean().item())
    assert difference.value == pytest.approx((kept(nearer) - kept(vectors)).mean().item(), abs=1e-6)
    assert difference.low > 0
    assert difference.high - difference.low < alone.high - alone.low


def test_pairs_among_leaves_out_each_image_with_itself():
    vectors = unit(5, 8)
    cosines = vectors @ vectors.T
    expected = (cosines.sum() - 5) / 20
    found = tradeoff.pairs_among(vectors)
    assert found.value == pytest.approx(expected.item(), abs=1e-6)
    assert found.low <= found.value <= found.high < 1


def test_rates_have_names_that_tell_them_apart():
    base = RunConfig(concept="alba", training=ReferenceConfig(class_word="toy"), images=3)
    runs = tradeoff.at_rates(base, [0.1, 0.2], class_word="toy", steps=7)
    assert list(runs) == ["rate 0.1", "rate 0.2"] and runs["rate 0.2"].images == 3
    assert (runs["rate 0.2"].training.learning_rate, runs["rate 0.2"].training.steps) == (0.2, 7)
    assert list(tradeoff.at_rates(base, [0.1, 0.10001], class_word="toy")) == ["rate 0.1", "rate 0.10001"]


def test_each_condition_has_its_interval_and_its_line():
    both = {"a": measured(unit(2, 4, 8)), "b": measured(unit(2, 4, 8, seed=1))}
    found = tradeoff.of_each(lambda vectors: vectors[..., 0], both)
    assert found["a"] == tradeoff.over_images(lambda vectors: vectors[..., 0], both["a"])
    table = tradeoff.written({"x": found, "y": {"b": found["b"]}}, "+.2f")
    assert table.loc["b", "y"] == f"{found['b']:+.2f}" and list(table.index) == ["a", "b"]
