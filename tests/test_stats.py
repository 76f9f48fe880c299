"""Bootstrap intervals cover what they should and know their limits."""

import numpy as np
import pytest

from helpers.stats import bootstrap


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(50):
        values = rng.normal(1.0, 2.0, 30)
        found = bootstrap(lambda i, values=values: values[i].mean(), n=30, unit="images")
        hits += found.low <= 1.0 <= found.high
    assert 42 <= hits <= 50


def test_a_paired_difference_is_narrower_than_two_numbers():
    rng = np.random.default_rng(1)
    base = rng.normal(0, 1, 40)
    better = base + 0.3 + rng.normal(0, 0.05, 40)
    paired = bootstrap(lambda i: better[i].mean() - base[i].mean(), n=40, unit="images")
    alone = bootstrap(lambda i: better[i].mean(), n=40, unit="images")
    assert paired.low > 0.25
    assert paired.high - paired.low < (alone.high - alone.low) / 5


def test_constant_values_have_an_interval_of_no_width():
    found = bootstrap(lambda i: 1.0, n=8, unit="images")
    assert (found.value, found.low, found.high, found.n, found.unit) == (1.0, 1.0, 1.0, 8, "images")
    assert f"{found:.2f}" == "1.00 [1.00, 1.00]"


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(20.0)
    one, other = (bootstrap(lambda i: values[i].mean(), n=20, unit="seeds", seed=3) for _ in range(2))
    assert one == other


def test_one_unit_has_no_interval():
    with pytest.raises(ValueError, match="needs 2 or more"):
        bootstrap(lambda i: 0.0, n=1, unit="concepts")
