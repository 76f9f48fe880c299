"""A number with its interval, and how both are written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

LEVEL = 0.95
FEWEST = 6
"""Concepts that an interval needs to say something about others; of fewer the number alone is written and drawn."""
UNITS = {"concept": "concepts", "seed": "seeds", "index": "images"}
"""Columns that say what was drawn, the outermost first, and their names in the plural."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with its interval; `dataclasses.asdict` makes it an entry of a result JSON."""

    value: float
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Units that were drawn."""
    unit: str
    """What was drawn: concepts, seeds, images."""

    def __format__(self, spec: str) -> str:
        """The number and its interval, each in this format: f"{x:.3f}" is 0.712 [0.690, 0.731]; of too few concepts the
        number and how many they are."""
        if self.too_few:
            return f"{self.value:{spec}} (n = {self.n})"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    @property
    def too_few(self) -> bool:
        """Whether these are fewer concepts than FEWEST."""
        return self.unit == UNITS["concept"] and self.n < FEWEST


def bounded(found: Interval, low: float, high: float) -> Interval:
    """The interval within the range that a share or a correlation can have."""
    return dataclasses.replace(found, low=max(low, found.low), high=min(high, found.high))
