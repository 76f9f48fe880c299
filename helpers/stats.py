"""Intervals: what a number would have been with other draws of its unit.

The unit is named, because it says what an interval speaks about: an interval over images says
nothing about other concepts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 1000
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


def bootstrap(statistic: Callable[[np.ndarray], float], *, n: int, unit: str, seed: int = 0) -> Interval:
    """Bias-corrected and accelerated bootstrap interval at 95% (Efron 1987), by scipy.

    Args:
        statistic: the number as a function of the indices of the units drawn; for a paired difference,
            the difference at the same indices.
        n: number of units, 2 or more.
        unit: their name, in the plural.
        seed: of the resampling.

    Raises:
        ValueError: fewer than 2 units, which have no interval.
    """
    if n < 2:
        raise ValueError(f"an interval over {unit} needs 2 or more of them, not {n}")
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        resampled = stats.bootstrap(
            (np.arange(n),),
            statistic,
            vectorized=False,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = resampled.confidence_interval
    if np.isnan(low) or np.isnan(high):  # constant or nearly so: BCa divides by a spread of zero
        low, high = np.quantile(resampled.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(statistic(np.arange(n)))
    return Interval(value=value, low=float(low), high=float(high), n=n, unit=unit)
