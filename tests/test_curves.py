"""Breaks, monotone fits and misrankings of curves that are known."""

import numpy as np
import pytest

from helpers import curves, stats


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_distance_that_explains_is_told_from_one_that_does_not():
    rates = np.repeat([0.1, 1.0, 10.0, 100.0], 6)
    distance = np.concatenate([np.geomspace(1, 32, 6) * (k + 1) for k in range(4)])
    score = np.log(distance) + rng().normal(0, 0.05, 24)
    good = curves.monotone_error(distance, score, rates)
    assert good < 0.15 < curves.monotone_error(rates * np.tile(np.geomspace(1, 32, 6), 4), score, rates)
    assert curves.monotone_error(distance, -score, rates) == pytest.approx(good), "falling is as good as rising"


def test_a_monotone_fit_is_constant_beyond_what_it_knows():
    found = curves.monotone(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 1.0, 3.0, 1.0]), np.array([0.1, 9.0, 1.5]))
    assert found[0] == 0 and found[1] == pytest.approx(5 / 3) and 0 < found[2] < 5 / 3


@pytest.mark.parametrize("at", [0.7, 1.4])
def test_a_break_is_found_where_it_is(at):
    x = np.linspace(0, 2, 9)
    found = curves.bend(x, 1 + 2 * x - 3 * (x - at).clip(min=0) + rng().normal(0, 0.02, 9), np.linspace(0.2, 1.8, 33))
    assert found.at == pytest.approx(at, abs=0.1) and (found.before, found.after) == pytest.approx((2, -1), abs=0.2)


def units(sigma, slope_after, count=8):
    x = np.tile(np.linspace(0, 2.5, 8), (count, 1)) + rng(1).normal(0, 0.05, (count, 8))
    kept = 0.3 * x + rng(2).normal(0, sigma, (count, 8))
    obeyed = 1 + (slope_after - 0.3) * (x - 1).clip(min=0) + rng(3).normal(0, sigma, (count, 8))
    return x, kept, obeyed


def test_a_knee_has_its_interval_and_prices():
    found = curves.knee(*units(0.02, -0.4), unit="concepts")
    assert found["decades"].low <= 1 <= found["decades"].high and found["decades"].high - found["decades"].low < 0.5
    assert found["distance"].value == pytest.approx(10 ** found["decades"].value)
    assert found["before"].low > 0.2 and found["after"].high < -0.2 and found["change"].high < 0
    assert abs(found["price_before"].value) < 0.3 < 2 < found["price_after"].value
    assert (found["decades"].n, found["decades"].unit) == (8, "concepts")


def test_bending_helps_only_where_there_is_a_bend():
    bent, straight = (units(0.02, slope) for slope in (-0.4, 0.3))
    gains = [curves.gain_of_bending(x, k + o, degree=1, unit="concepts") for x, k, o in (bent, straight)]
    assert gains[0].low > 0.05 and abs(gains[1].value) < 0.01
    x, k, o = bent
    assert curves.gain_of_bending(x, k + o, degree=2, unit="concepts").low > 0
    smooth = np.square(x - 1.2)
    assert curves.gain_of_bending(x, smooth, degree=2, unit="concepts").high < 0, "a parabola is no break"


def test_a_break_is_not_sought_among_the_points_of_one_rate():
    x = np.tile(np.arange(8.0), (6, 1)) + rng().normal(0, 0.3, (6, 8))
    candidates = curves.breakpoints(x)
    assert candidates[0] == pytest.approx(1, abs=0.3) and candidates[-1] == pytest.approx(6, abs=0.3)


def test_pairs_are_misranked_only_where_their_order_is_known():
    truth, error = np.array([0.1, 0.5, 0.52, 0.9]), np.full(4, 0.03)
    assert curves.misranked(truth, truth, error) == (0, 5), "0.5 and 0.52 are not told apart"
    assert curves.misranked(-truth, truth, error) == (5, 5)
    assert curves.misranked(np.array([0.0, 2.0, 1.0, 1.5]), truth, error) == (1, 5)


def test_the_best_rate_comes_with_the_uncertainty_of_the_choice():
    clear = {0.1: np.zeros(6), 1.0: np.ones(6)}
    found = curves.best(clear, unit="concepts")
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    torn = curves.best({0.1: np.array([1.0, 0, 1, 0, 1, 0]), 1.0: np.array([0, 1.0, 0, 1, 0, 1.1])}, unit="concepts")
    assert (torn.low, torn.value, torn.high) == (0.1, 1.0, 1.0)


def test_constant_scores_have_no_rank():
    assert curves.rank_correlation(np.arange(4.0), np.ones(4)) == 0
    assert curves.rank_correlation(np.arange(4.0), np.array([3.0, 2, 1, 0])) == -1


def test_a_bootstrap_of_a_mean_is_near_its_t_interval():
    values = rng().normal(0, 1, 40)
    found = stats.bootstrap(lambda chosen: {"mean": values[chosen].mean()}, n=40, unit="concepts")["mean"]
    expected = stats.mean_of_units(values, "concepts")
    assert found.value == expected.value
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05)
    with pytest.raises(ValueError, match="2 or more"):
        stats.bootstrap(lambda chosen: {"": 0.0}, n=1, unit="concepts")


def test_a_bootstrap_over_few_units_is_as_wide_as_a_t_interval():
    values = rng(5).normal(0, 1, 6)
    found = stats.bootstrap(lambda chosen: {"": values[chosen].mean()}, n=6, unit="concepts")[""]
    expected = stats.mean_of_units(values, "concepts")
    assert (found.high - found.low) / (expected.high - expected.low) == pytest.approx(1, abs=0.2)
