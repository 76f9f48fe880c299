"""The figures of report 02: distances, scores along them, the plane of all configurations, factors, contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.figures import CONDITIONS, mark, shades, spread
from helpers.inversion_runs import BARE, CLASS_WORD
from helpers.stats import Interval

Styles = Mapping[str, Mapping[str, Any]]
SCORES = {
    "kept": ("#0072b2", "o", "kept (reconstruction)"),
    "obeyed": ("#d55e00", "s", "obeyed (editability)"),
    "identity": ("#009e73", "D", "identity right"),
    "edit": ("#b8860b", "^", "edit right"),
    "joint": ("#7b2d8b", "v", "both right"),
}
"""Colour, marker and name of a score."""
DISTANCE_NAMES = {
    "learning_rate_steps": "learning rate x updates",
    "path_length": "length of the path",
    "displacement": "distance from the start",
    "function_distance_token": "change of the predicted noise",
}
"""Name of a distance."""
FAMILIES = {
    "rate": ("inversion", "learning rates"),
    "vectors": ("more vectors", "more vectors"),
    "picture": ("training pictures", "number of pictures, tokens of pictures"),
    "kept near": ("kept near", "kept near the class word"),
    "start": ("another start", "another start"),
    "words": ("described", "words of a person, nothing learned"),
    "reference": ("class word", "references"),
}
"""Condition whose colour and marker a family of configurations has, and its name."""
REACH_NAMES = {"named": "has a word", "unnamed": "drawn in training, no word", "outside": "never drawn in training"}
REACH_COLOURS = {"named": ("#0072b2", "o"), "unnamed": ("#e0a458", "s"), "outside": ("#b4407a", "D")}


def family_of(condition: str) -> str:
    """The family of a configuration by its name."""
    if condition in (CLASS_WORD, BARE):
        return "reference"
    for family, parts in {
        "rate": ("rate", "one vector"),
        "vectors": ("vectors",),
        "picture": ("picture", "image"),
        "kept near": ("L2", "held", "direction", "turned"),
        "start": ("from ",),
    }.items():
        if any(part in condition for part in parts):
            return family
    return "words"


def distances_figure(points: pd.DataFrame, rates: Sequence[str]) -> Figure:
    """Distances, length and loss against learning rate times updates, a line a rate through its numbers of updates.

    Args:
        points: means over concepts: condition, learning_rate_steps and those that are drawn.
        rates: conditions, rising.
    """
    columns = {
        "displacement": DISTANCE_NAMES["displacement"],
        "function_distance_token": DISTANCE_NAMES["function_distance_token"],
        "norm": "length of the embedding",
        "probe_loss": "loss on fixed noise",
    }
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 5.6), sharex=True)
    styles = shades("inversion", rates)
    for axis, (column, title) in zip(axes.flat, columns.items(), strict=True):
        for rate in rates:
            mine = points[points["condition"] == rate].sort_values("learning_rate_steps")
            axis.plot(mine["learning_rate_steps"], mine[column], markersize=4, linewidth=1.2, **styles[rate])
        axis.set(xscale="log", yscale="linear" if column == "probe_loss" else "log", title=title)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
    for axis in axes[-1]:
        axis.set_xlabel("learning rate x updates")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    return figure


def along_figure(
    far: Sequence[float],
    found: Mapping[str, Mapping[str, Interval]],
    panels: Sequence[Sequence[str]],
    *,
    knee: Interval | None,
    levels: Mapping[str, float],
) -> Figure:
    """Scores with their intervals against the displacement, a panel for scores of one kind.

    Args:
        far: mean displacement of each condition.
        found: scores of each condition, in the same order.
        panels: which of SCORES are where.
        knee: a distance that is marked with its interval.
        levels: value of a score at the class word, a dotted line.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.7 * len(panels), 3.4), squeeze=False)
    for axis, names in zip(axes[0], panels, strict=True):
        if knee is not None:
            axis.axvspan(knee.low, knee.high, color="#f2f4f7", zorder=0)
            axis.axvline(knee.value, color="#98a2b3", linewidth=1, label="best break and its interval")
        for name in names:
            colour, marker, label = SCORES[name]
            values = [numbers[name] for numbers in found.values() if name in numbers]
            if len(values) == len(far):
                points = [v.value for v in values]
                axis.errorbar(far, points, yerr=spread(values), color=colour, marker=marker, label=label, linewidth=1.4)
            if name in levels:
                axis.axhline(levels[name], color=colour, linestyle=":", linewidth=1)
        axis.set(xscale="log", xlabel="distance of the token from the class word")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def plane_figure(points: Mapping[str, tuple[Interval, Interval]], lines: Sequence[Sequence[str]]) -> Figure:
    """Editability and reconstruction of every configuration: all with their intervals, and where most of them are
    numbered; lines join some of them in their order."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.6))
    crowd = crowded([(x.value, y.value) for x, y in points.values()])
    for axis, close in zip(axes, (False, True), strict=True):
        for line in lines:
            joined = [tuple(number.value for number in points[name]) for name in line]
            axis.plot(*zip(*joined, strict=True), color="#98a2b3", zorder=0, linewidth=1)
        for number, (name, (x, y)) in enumerate(points.items(), start=1):
            condition, label = FAMILIES[family_of(name)]
            colour, marker = CONDITIONS[condition]
            if not close:
                bars = {"xerr": spread([x]), "yerr": spread([y]), "elinewidth": 0.5, "capsize": 0, "alpha": 0.35}
                axis.errorbar(x.value, y.value, ls="", color=colour, **bars)
            axis.plot(x.value, y.value, ls="", color=colour, marker=marker, markersize=5, label=label)
            inside = all(low <= value.value <= high for value, (low, high) in zip((x, y), crowd, strict=True))
            if inside == close:
                at = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": 7}
                axis.annotate(str(number), (x.value, y.value), **at)
        axis.set(xlabel="obeyed (editability)")
    axes[0].set(ylabel="kept (reconstruction)")
    axes[1].set(xlim=crowd[0], ylim=crowd[1], title="where most of them are")
    names = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(names.values(), names, loc="outside lower center", ncols=4)
    return figure


def crowded(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Ranges of both numbers in which the middle four fifths of the points lie."""
    low, high = np.quantile(np.array(points), (0.1, 0.9), axis=0)
    margin = 0.06 * (high - low)
    return tuple((float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True))


def guidance_figure(found: Mapping[str, Mapping[float, Interval]], *, styles: Styles, label: str) -> Figure:
    """A score of each condition against the guidance scale."""
    figure, axis = plt.subplots(figsize=(5.6, 3.2))
    for condition, numbers in found.items():
        scales = sorted(numbers)
        values = [numbers[scale] for scale in scales]
        axis.errorbar(scales, [v.value for v in values], yerr=spread(values), **styles[condition])
    axis.set(xlabel="guidance scale", ylabel=label, xticks=sorted({s for numbers in found.values() for s in numbers}))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def factors_figure(
    far: Sequence[float],
    by_reach: Mapping[str, Mapping[str, Interval]],
    surroundings: Mapping[str, Mapping[str, Interval]],
    rates: Sequence[str],
) -> Figure:
    """Left: share of pictures whose parts are the character's, by reach. Right: how far the surroundings are those of
    the training pictures. Dotted: the class word."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.4))
    looks = {
        "pose": ("#3f8f3f", "^"),
        "place": ("#5c6bc0", "v"),
        "background": ("#d55e00", "h"),
    }
    for axis, groups, marks in ((axes[0], by_reach, REACH_COLOURS), (axes[1], surroundings, looks)):
        for name, numbers in groups.items():
            values = [numbers[rate] for rate in rates]
            colour, marker = marks[name]
            label = REACH_NAMES.get(name, name)
            axis.errorbar(far, [v.value for v in values], yerr=spread(values), color=colour, marker=marker, label=label)
            if CLASS_WORD in numbers:
                axis.axhline(numbers[CLASS_WORD].value, color=colour, linestyle=":", linewidth=1)
        axis.set(xscale="log", xlabel="distance of the token from the class word")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes[0].set_ylabel("share of pictures alike")
    axes[1].set_ylabel("overlap with the training pictures")
    return figure


def styles_of(rates: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colours and markers of the references and of rates, from light to dark."""
    return {name: mark(name) for name in (CLASS_WORD, BARE)} | shades("inversion", rates)


def styles_of_scores(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colours, markers and names of scores."""
    return {name: dict(zip(("color", "marker", "label"), SCORES[name], strict=True)) for name in names}
