"""Intervals: what a number would have been with other draws of its unit.

The unit is named, because it says what an interval speaks about: an interval over images says
nothing about other concepts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with its interval; `dataclasses.asdict` makes it an entry of a result JSON."""

    value: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """How many units were drawn."""
    unit: str
    """What was drawn: concepts, seeds, images."""

    def __format__(self, spec: str) -> str:
        """The number and its interval, each in this format: f"{x:.3f}" is 0.712 [0.690, 0.731]."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def jackknife(statistic: Callable[[np.ndarray], float], *, n: int, unit: str) -> Interval:
    """Student's t interval at 95% around a statistic, with Tukey's jackknife estimate of its standard error.

    For means it is the t interval. For the cosine of a mean vector a bootstrap is biased, because a unit drawn
    twice makes the mean longer; leaving one unit out is not (Efron and Stein 1981).

    Args:
        statistic: a smooth function of the indices of the units; for a paired difference, the difference at the
            same indices.
        n: number of units, 2 or more.
        unit: their name, in the plural.

    Raises:
        ValueError: fewer than 2 units, which have no interval.
    """
    if n < 2:
        raise ValueError(f"an interval over {unit} needs 2 or more of them, not {n}")
    units = np.arange(n)
    value = float(statistic(units))
    without = np.array([statistic(np.delete(units, i)) for i in units])
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    half_width = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * error)
    return Interval(value=value, low=value - half_width, high=value + half_width, n=n, unit=unit)
