"""What a learned token is used for in report 02: beside things, in pairs, as a style; and whom the scores mislead."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers import curves, stats
from helpers.intervals import bounded
from helpers.inversion_report import Scores, against, known, known_scores, of_section, score, scored
from helpers.inversion_runs import CLASS_WORD, Labelled
from helpers.inversion_table import normalised
from helpers.stats import UNITS, Interval, mean_of_units

WAYS_OF_TWO = ("two characters", "learned apart", "learned together", "two names")
SHARES = ("edit", "identity", "joint")
KINDS = ("object", "companion", "background", "style", "pose")
CONTROLS = ("named", "strangers")


def two_in_one(rows: pd.DataFrame) -> tuple[Scores, dict[str, Interval]]:
    """Pictures of two characters: shares with both right, with two figures, with both right in a new place; and what
    names have over learned tokens, and tokens trained together over tokens trained apart."""
    photo = rows["kind"] == "photo"
    rows = rows.assign(both=rows["identity"].where(photo), two=(rows["read_count"] == 2).where(photo))
    names = {"both": "both right", "two": "two figures", "joint": "both right in a new place"}
    ways = [way for way in WAYS_OF_TWO if (rows["condition"] == way).any()]
    found = {
        way: known_scores({said: score(rows[rows["condition"] == way], value) for value, said in names.items()})
        for way in ways
    }
    differences = {"together over apart": against(rows, "learned together", "learned apart", "both")}
    if {"learned apart", "two names"} <= set(ways):
        both = (found[way]["both right"] for way in ("two names", "learned apart"))
        differences["names over learned"] = stats.difference(*both)
    of_pairs = {way: in_pairs(numbers) for way, numbers in found.items()}
    return of_pairs, in_pairs(known_scores(differences))


def in_pairs(numbers: Mapping[str, Interval]) -> dict[str, Interval]:
    """Intervals over concepts each of which is a pair of characters."""
    return {name: dataclasses.replace(number, unit="pairs") for name, number in numbers.items()}


def by(rows: pd.DataFrame, column: str, values: Sequence[str], best: str) -> Scores:
    """Shares read right with the class word (of which no identity is asked) and at a rate, by kind or combination."""
    wanted = [(CLASS_WORD, "edit"), *((best, share) for share in SHARES)]
    found = {}
    for value in values:
        mine = rows[rows[column] == value]
        numbers = {f"{name}: {share}": score(mine[mine["condition"] == name], share) for name, share in wanted}
        if numbers := known_scores(numbers):
            found[value] = numbers
    return found


def of_style(rows: pd.DataFrame, style: str) -> Scores:
    """Shares of pictures in a style, with the edit right, and reconstruction, of each condition."""
    rows = rows.assign(style=pd.array(rows["read_art_style"] == style, dtype="boolean"))
    return {
        str(name): known_scores(
            {
                "style right": score(mine, "style"),
                "edit right": score(mine, "edit"),
                "reconstruction": score(mine[mine["kind"] == "photo"], "reconstruction_unseen"),
            }
        )
        for name, mine in rows.groupby("condition", observed=True)
    }


def seen_over_held_out(rows: pd.DataFrame, condition: str, share: str) -> Interval | None:
    """How much more often a share is right where training pictures show together what is asked for, than where they
    never do; by concept, since the prompts are not the same."""
    mine = known(rows[rows["condition"] == condition], share).astype({share: float})
    means = mine.groupby(["concept", "combination"], observed=True)[share].mean().unstack()
    if not {"seen", "held-out"} <= set(means):
        return None
    differences = (means["seen"] - means["held-out"]).dropna()
    return stats.mean_of_units(differences.to_numpy(), stats.UNITS["concept"]) if len(differences) > 1 else None


def name_over_token(rows: pd.DataFrame) -> dict[str, Interval]:
    """What the name of a character has over a token that was learned from five pictures of it, paired."""
    return known_scores({value: against(rows, "name", "token", value) for value in ("kept", "obeyed", *SHARES)})


def controls(rows: pd.DataFrame, labels: pd.DataFrame, own: pd.DataFrame) -> Scores:
    """Scores of the controls; none where they were not run."""
    found: Scores = {}
    for section in CONTROLS:
        mine = of_section(rows, labels, section)
        if len(mine):
            mine = normalised(mine, labels, own)
            of_each = scored(mine, list(dict.fromkeys(mine["condition"])))
            found |= {f"{section}: {condition}": numbers for condition, numbers in of_each.items()}
    return found


def rankings(tried: pd.DataFrame, seen: pd.DataFrame, ways: Sequence[str], rates: Sequence[str]) -> dict[str, Interval]:
    """How often each score misleads about each reading: over all configurations, and over rates by combination.

    Args:
        tried: all configurations, normalised.
        seen: prompts for things that training pictures show together, at all rates.
        ways: all configurations.
        rates: learning rates.
    """
    pairs = [("kept", "identity"), ("obeyed", "edit"), ("text_cosine", "edit")]
    pairs += [(score, "joint") for score in ("kept", "obeyed", "text_cosine")]
    found = {f"{score} for {truth}": misranking(tried, ways, score, truth) for score, truth in pairs}
    parts = {
        "one thing": tried[tried["combination"] == "single"],
        "seen together": seen.assign(obeyed=seen["editability_share"]),
        "held out": tried[tried["combination"] == "held-out"],
    }
    for name, mine in parts.items():
        found[f"obeyed for edit, {name}"] = misranking(mine, rates, "obeyed", "edit")
    return known_scores(found)


def misranking(rows: pd.DataFrame, conditions: Sequence[str], score: str, truth: str) -> Interval | None:
    """Share of pairs of conditions that a score puts in the wrong order, of those whose order is known; by concept.

    What is kept is judged by the photo's pictures, which it was measured on, unless the truth is of edits.
    """
    if score == "kept" and truth == "identity":
        rows = rows[rows["kind"] == "photo"]
    shares = []
    for _, mine in rows.groupby("concept", observed=True):
        values, truths, errors = [], [], []
        for condition in conditions:
            one = mine[mine["condition"] == condition]
            right = known(one, truth)[truth].astype(float)
            if len(right) > 1 and len(known(one, score)):
                values.append(float(known(one, score)[score].mean()))
                truths.append(float(right.mean()))
                errors.append(float(right.std(ddof=1)) / len(right) ** 0.5)
        wrong, pairs = curves.misranked(np.array(values), np.array(truths), np.array(errors))
        if pairs:
            shares.append(wrong / pairs)
    return bounded(mean_of_units(np.array(shares), UNITS["concept"]), 0, 1) if len(shares) > 1 else None


def said_of_joint(by_rate: Scores, best: str, where: Mapping[str, pd.DataFrame]) -> str:
    """How often edit and identity are both right at a rate, and by how much more where that is most often, paired, on
    some rows by their names; in a sentence, which is empty where pictures cannot be read."""
    joints = {name: numbers["joint"].value for name, numbers in by_rate.items() if "joint" in numbers}
    if best not in joints:
        return ""
    found = f" There edit and identity are both right in {by_rate[best]['joint']:.2f} of the pictures"
    most = max(joints, key=joints.__getitem__)
    if joints[most] == joints[best]:
        return f"{found}."
    more = known_scores({name: against(rows, most, best, "joint") for name, rows in where.items()})
    return f"{found}; at {most}, which has most, by {' and '.join(f'{x:+.2f}{name}' for name, x in more.items())}."


def runs_of(finished: Mapping[str, Sequence[Labelled]], concept: str, seed: int) -> dict[tuple[str, str], str]:
    """The run of each section and condition of one concept and seed."""
    return {
        (one.section, one.condition): run
        for run, many in finished.items()
        for one in many
        if one.config.concept == concept and one.config.training.seed == seed
    }
