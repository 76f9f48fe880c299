"""Jackknife intervals cover what they should and know their limits."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.figures import spread
from helpers.intervals import FEWEST, bounded
from helpers.stats import (
    Interval,
    difference,
    jackknife,
    jackknife_each,
    of_units,
    paired,
    share_of_rows,
    share_of_units,
    widened,
)


@pytest.mark.parametrize("n", [3, 30])
def test_an_interval_covers_the_mean_about_as_often_as_it_says(n):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        values = rng.normal(1.0, 2.0, n)
        found = jackknife(lambda i, values=values: values[i].mean(), n=n, unit="images")
        hits += found.low <= 1.0 <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_for_a_mean_it_is_the_t_interval():
    values = np.random.default_rng(3).gamma(2.0, 1.0, 12)
    found = jackknife(lambda i: values[i].mean(), n=12, unit="concepts")
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert np.allclose((found.low, found.high), expected)


def test_the_cosine_of_a_mean_vector_lies_in_its_interval_and_is_covered():
    """A bootstrap fails here: its resamples lie below the value, and its interval excludes it."""
    rng = np.random.default_rng(1)
    centre, text = np.r_[2.0, np.zeros(31)], np.r_[0.8, 0.6, np.zeros(30)]

    def cosine(vectors):
        mean = vectors.mean(0)
        return mean @ text / np.linalg.norm(mean)

    def draw():
        vectors = centre + rng.normal(0, 0.35, (16, 32))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    expected = np.mean([cosine(draw()) for _ in range(2000)])
    hits = 0
    for _ in range(300):
        vectors = draw()
        found = jackknife(lambda i, vectors=vectors: cosine(vectors[i]), n=16, unit="images")
        assert found.low <= found.value <= found.high
        hits += found.low <= expected <= found.high
    assert 0.91 <= hits / 300 <= 0.985


def test_a_paired_difference_is_narrower_than_two_numbers():
    rng = np.random.default_rng(1)
    base = rng.normal(0, 1, 40)
    better = base + 0.3 + rng.normal(0, 0.05, 40)
    paired = jackknife(lambda i: better[i].mean() - base[i].mean(), n=40, unit="images")
    alone = jackknife(lambda i: better[i].mean(), n=40, unit="images")
    assert paired.low > 0.25
    assert paired.high - paired.low < (alone.high - alone.low) / 5


def test_constant_values_have_an_interval_of_no_width():
    found = jackknife(lambda i: 1.0, n=8, unit="images")
    assert (found.value, found.low, found.high, found.n, found.unit) == (1.0, 1.0, 1.0, 8, "images")
    assert f"{found:.2f}" == "1.00 [1.00, 1.00]"


def test_one_unit_has_no_interval():
    with pytest.raises(ValueError, match="needs 2 or more"):
        jackknife(lambda i: 0.0, n=1, unit="concepts")


def table(concepts=4, seeds=2, images=5, prompts=2):
    rng = np.random.default_rng(0)
    rows = [
        {"concept": f"c{c}", "seed": s, "index": i, "prompt": p, "condition": condition, "score": rng.normal(c, 1)}
        for c in range(concepts)
        for s in range(seeds)
        for i in range(images)
        for p in range(prompts)
        for condition in ("far", "near")
    ]
    return pd.DataFrame(rows)


def test_the_interval_is_over_the_outermost_unit_that_was_drawn_twice():
    rows = table()
    whole = of_units(rows, "score")
    means = rows.groupby("concept")["score"].mean().to_numpy()
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (whole.n, whole.unit) == (4, "concepts") and np.allclose((whole.low, whole.high), expected)
    one = of_units(rows[rows["concept"] == "c1"], "score")
    assert (one.n, one.unit) == (2, "seeds")
    alone = of_units(rows[(rows["concept"] == "c1") & (rows["seed"] == 0)], "score")
    assert (alone.n, alone.unit) == (5, "images")
    with pytest.raises(ValueError, match="2 or more"):
        of_units(rows[(rows["concept"] == "c1") & (rows["seed"] == 0) & (rows["index"] == 0)], "score")


def test_a_concept_counts_once_however_many_images_it_has():
    rows = table(concepts=2)
    rows["score"] = (rows["concept"] == "c1").astype(float)
    fewer = rows.drop(rows[(rows["concept"] == "c0") & (rows["index"] > 0)].index)
    assert of_units(fewer, "score").value == of_units(rows, "score").value == 0.5


def test_missing_scores_are_not_averaged_away():
    rows = table()
    rows.loc[3, "score"] = np.nan
    with pytest.raises(ValueError, match="missing"):
        of_units(rows, "score")


def test_a_paired_difference_needs_partners():
    rows = table()
    rows.loc[rows["condition"] == "near", "score"] = rows.loc[rows["condition"] == "far", "score"].to_numpy() - 0.25
    found = paired(rows, "score", condition="condition", minuend="far", subtrahend="near")
    assert found.value == pytest.approx(0.25) and found.high - found.low < 1e-9 and found.unit == "concepts"
    with pytest.raises(ValueError, match="do not have the same"):
        paired(rows.iloc[1:], "score", condition="condition", minuend="far", subtrahend="near")


def test_a_share_stays_within_0_and_1():
    none, some = np.zeros((8, 10)), np.zeros((8, 10))
    some[:3, 0] = 1
    for values in (none, some):
        found = share_of_units(values, "images")
        assert 0 <= found.low <= found.value < found.high <= 1 and found.n == 8
    alike = np.repeat([[1.0], [0.0], [0.0], [1.0]], 50, axis=1)  # 50 pictures that are one
    independent = np.tile([1.0, 0.0], (4, 25))
    wide, narrow = (share_of_units(values, "images") for values in (alike, independent))
    assert wide.high - wide.low > 0.5 > narrow.high - narrow.low


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_share_over_few_units_is_covered(share):
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        shares = rng.beta(share * 20, (1 - share) * 20, 6)  # six concepts that differ
        right = rng.random((6, 40)) < shares[:, None]
        rows = pd.DataFrame(
            {"concept": np.repeat(range(6), 40), "index": np.tile(range(40), 6), "right": right.ravel()}
        )
        found = share_of_rows(rows.assign(seed=0), "right")
        assert 0 <= found.low <= found.value <= found.high <= 1 and (found.n, found.unit) == (6, "concepts")
        hits += found.low <= share <= found.high
    assert hits / 300 >= 0.93


def test_groups_of_units_give_nearly_the_same_interval():
    values = np.random.default_rng(0).normal(size=400)
    alone, grouped = (
        jackknife(lambda chosen: float(values[chosen].mean()), n=400, unit="images", groups=groups)
        for groups in (None, 40)
    )
    assert grouped.value == alone.value and grouped.n == 400
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(1, abs=0.3)
    wide = jackknife(lambda chosen: float(values[chosen].mean()), n=400, unit="images", level=0.99)
    assert wide.high > alone.high


def test_several_statistics_at_once_are_those_alone():
    values = np.random.default_rng(0).normal(size=30)
    found = jackknife_each(lambda c: {"mean": values[c].mean(), "most": values[c].max()}, n=30, unit="images")
    assert found["mean"] == jackknife(lambda chosen: float(values[chosen].mean()), n=30, unit="images")
    assert set(found) == {"mean", "most"}


def test_spread_over_shared_draws_is_added_to_an_interval():
    found = jackknife(lambda chosen: float(np.arange(20.0)[chosen].mean()), n=20, unit="words")
    same, apart = widened(found, np.ones(5)), widened(found, np.array([0.0, 30.0, 60.0]))
    assert (same.low, same.high) == (found.low, found.high)
    assert apart.low < found.low < found.high < apart.high and apart.value == found.value


def test_a_difference_of_independent_numbers_has_both_errors():
    one, other = (Interval(value=v, low=v - 3, high=v + 3, n=9, unit="images") for v in (5.0, 1.0))
    found = difference(one, other)
    assert found.value == 4 and found.high - 4 == pytest.approx(18**0.5)


def test_of_too_few_concepts_no_interval_is_written_or_drawn():
    few, enough = (Interval(value=0.5, low=0.4, high=0.7, n=n, unit="concepts") for n in (FEWEST - 1, FEWEST))
    assert f"{few:.1f}" == "0.5 (n = 5)" and f"{enough:.1f}" == "0.5 [0.4, 0.7]"
    assert np.isnan(spread([few, enough])[:, 0]).all() and np.allclose(spread([few, enough])[:, 1], [0.1, 0.2])


def test_a_share_s_interval_lies_between_nought_and_one():
    found = bounded(Interval(value=0.4, low=-0.5, high=1.3, n=6, unit="concepts"), 0, 1)
    assert (found.value, found.low, found.high) == (0.4, 0, 1)
