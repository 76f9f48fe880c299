"""Which distance explains the scores of report 02, and what became of its hypotheses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from helpers import curves, results
from helpers.inversion_report import known
from helpers.inversion_table import DISTANCES
from helpers.stats import UNITS, Interval, mean_of_units

PRODUCT = DISTANCES[0]
MARGIN = 0.05
"""Of kept + obeyed (H4), and of a score's deviation (H5)."""
OUT_OF_REACH = 0.1
"""Share of pictures by which a part may be alike more often by chance (H7)."""
LEGIBLE = 0.5
"""Share of a concept's own pictures in which the reader must find a part, for its absence to mean something (H7)."""
SETBACK = 0.01
WRONG = 0.1
"""Share of pairs that a score may put in the wrong order (H9)."""
RANKED = ("kept for identity", "obeyed for edit", "text_cosine for edit")
"""Scores and the readings that they stand for."""
Errors = Mapping[str, Mapping[str, np.ndarray]]


def proxies(rows: pd.DataFrame, values: Sequence[str] = ("kept", "obeyed")) -> dict[str, dict[str, np.ndarray]]:
    """How badly each distance explains each score: curves.monotone_error by concept, every rate left out in turn.

    Args:
        rows: of rates at several numbers of updates.
        values: scores.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for value in values:
        means = known(rows, value).groupby(["concept", "condition", "step"], observed=True)
        points = means[[value, *DISTANCES]].mean().reset_index().dropna()
        found[value] = {
            distance: np.array(
                [
                    curves.monotone_error(
                        mine[distance].to_numpy(float), mine[value].to_numpy(float), mine["condition"].to_numpy(str)
                    )
                    for _, mine in points.groupby("concept", observed=True)
                ]
            )
            for distance in DISTANCES
        }
    return found


def error_intervals(errors: Errors) -> dict[str, dict[str, Interval]]:
    """Mean error of each distance by score."""
    return {
        value: {name: mean_of_units(by_concept, UNITS["concept"]) for name, by_concept in found.items()}
        for value, found in errors.items()
    }


def against_product(errors: Errors) -> dict[str, dict[str, Interval]]:
    """By how much the error of learning rate times updates exceeds each other distance's, paired by concept."""
    return {
        value: {
            name: mean_of_units(found[PRODUCT] - other, UNITS["concept"])
            for name, other in found.items()
            if name != PRODUCT
        }
        for value, found in errors.items()
    }


def best_proxy(errors: Errors) -> str:
    """The distance with the least mean error, if it beats every other by a paired interval; else "undecided"."""
    both = {name: np.mean([found[name] for found in errors.values()], axis=0) for name in DISTANCES}
    best = min(both, key=lambda name: float(both[name].mean()))
    rest = [mean_of_units(both[best] - values, UNITS["concept"]) for name, values in both.items() if name != best]
    return best if all(number.high < 0 for number in rest) else "undecided"


def setbacks(rows: pd.DataFrame) -> pd.Series:
    """Share of steps from one number of updates to the next, at each rate, in which the loss on fixed noise rises by
    more than SETBACK of itself although the token has gone further from its start: what a distance cannot say."""
    points = (
        rows.groupby(["condition", "concept", "step"], observed=True)[["probe_loss", "displacement"]].mean().dropna()
    )
    before = points.groupby(level=["condition", "concept"], observed=True).shift().dropna()
    after = points.loc[before.index]
    back = after["probe_loss"] > (1 + SETBACK) * before["probe_loss"]
    return (back & (after["displacement"] > before["displacement"])).groupby(level="condition", observed=True).mean()


def all_of(*verdicts: str) -> str:
    """Of a hypothesis of several parts: yes if all are, no if one is, else undecided."""
    return "no" if "no" in verdicts else "yes" if set(verdicts) == {"yes"} else "undecided"


def knee(found: Mapping[str, Interval]) -> str:
    """H3: more is kept than is lost before the break, and less is gained after it; undecided where the break is not
    known within a decade."""
    if found["decades"].high - found["decades"].low > 1:
        return "undecided"
    parts = results.verdict(found["over_line"]), results.verdict(found["before"]), results.falls(found["change"])
    return all_of(*parts)


def explained(worse: Mapping[str, Mapping[str, Interval]]) -> str:
    """H5: the product's error exceeds no other distance's by MARGIN."""
    return all_of(*(results.falls(number, MARGIN) for found in worse.values() for number in found.values()))


def bought_back(lifts: Mapping[str, Interval], high: str) -> str:
    """H6: guidance lifts the high rate, and more than the class word."""
    return all_of(results.verdict(lifts[high]), results.verdict(lifts["difference"]))


def reaches(gains: Mapping[str, Interval], readable: float) -> str:
    """H7: what can be drawn is reached, what cannot is not; undecided where the reader would not see it, because it
    finds what is outside the model's reach in less than LEGIBLE of the concepts' own pictures."""
    inside = all_of(*(results.verdict(gains[reach]) for reach in ("named", "unnamed")))
    outside = results.falls(gains["outside"], OUT_OF_REACH)
    return all_of(inside, outside if readable >= LEGIBLE or outside == "no" else "undecided")


def two_tokens(names_over_learned: Interval, together_over_apart: Interval) -> str:
    """H8: names do better than tokens learned apart, and tokens learned together too."""
    return all_of(results.verdict(names_over_learned), results.verdict(together_over_apart))


def well_ranked(ranks: Mapping[str, Interval]) -> str:
    """H9: every score of RANKED puts fewer than WRONG of the known pairs in the wrong order."""
    return all_of(*(results.falls(ranks[name], WRONG) for name in RANKED if name in ranks))


def said_of_trade(rises: Mapping[str, Interval]) -> str:
    """How both scores go with the distance, from their rank correlations; in a sentence."""
    if not rises:
        return "Too few rates to say how the scores go with the distance."
    goes = {"yes": "rises", "no": "falls", "undecided": "may rise or fall"}
    kept, obeyed = (f"{goes[results.verdict(rises[value])]} (" for value in ("kept", "obeyed"))
    return (
        f"As the token moves away, reconstruction {kept}rank correlation {rises['kept']:+.2f}) and editability "
        f"{obeyed}{rises['obeyed']:+.2f})."
    )


def said_of_knee(found: Mapping[str, Interval] | None) -> str:
    """Up to which distance more is kept than is lost, if that is known; in a sentence."""
    if not found:
        return "Too few rates to look for a distance at which it stops paying."
    if knee(found) != "yes":
        return "A distance at which it stops paying was not found (H3)."
    return f"Up to a distance of {found['distance']:.3g} more is kept than is lost."


def table(verdicts: Mapping[str, Any]) -> pd.DataFrame:
    """One row a hypothesis."""
    said = {name: v if isinstance(v, str) else f"not asked: {v['reason']}" for name, v in verdicts.items()}
    return pd.DataFrame({"verdict": said})


def agreement(first: Mapping[str, Interval], second: Mapping[str, Interval]) -> dict[str, str]:
    """Whether each number has the same sign on both models: no if the intervals lie on different sides of nought."""
    said = {}
    for name in second:
        one, other = (results.verdict(found[name]) for found in (first, second))
        said[name] = "undecided" if "undecided" in (one, other) else "yes" if one == other else "no"
    return said


def summary(verdicts: Mapping[str, Any]) -> str:
    """Which hypotheses hold, fail or are undecided, in one sentence each."""
    names = {"yes": "Held", "no": "Failed", "undecided": "Undecided"}
    found = {word: [name.split()[0] for name, v in verdicts.items() if v == said] for said, word in names.items()}
    return " ".join(f"{word}: {', '.join(which)}." for word, which in found.items() if which)
