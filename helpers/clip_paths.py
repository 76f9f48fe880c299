"""Report 01 on the ways between states: its tables, which one to take, and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from helpers import files, results, sights
from helpers.clip_report import how_thin
from helpers.interpolation import EXACT
from helpers.journeys import Journey
from helpers.sights import Sights
from helpers.stats import Interval

Shells = Mapping[str, Interval]
MEASURES = {"noise": "noise", "smooth": "pictures"}
"""What is measured along a path: fields of a Journey, and what they are called."""


def about_paths(shape: Mapping[str, Shells]) -> pd.DataFrame:
    """The geometry of paths at the index, a row a path."""
    columns = {"off the shell": "off_shell", "length": "length", "drift": "drift"}
    return pd.DataFrame({t: {path: f"{one[key]:.3f}" for path, one in shape.items()} for t, key in columns.items()})


def about_journeys(journey: Journey) -> pd.DataFrame:
    """Evenness and detour of the predicted noise and of the pictures, a row a path; of one pair without intervals."""
    table = {}
    for field, title in MEASURES.items():
        rows = getattr(journey, field)
        for key in ("unevenness", "detour"):
            means = rows.groupby("path", sort=False)[key].mean()
            found = sights.over_pairs(rows, key, by="path")
            table[f"{title}: {key}"] = {path: f"{found.get(path, mean):.2f}" for path, mean in means.items()}
    return pd.DataFrame(table)


def above_exact(
    journeys: Mapping[str, Journey], candidates: Sequence[str], key: str = "unevenness"
) -> dict[str, dict[str, Shells]]:
    """Unevenness (or detour) above that of the exact path, by path, 95% over pairs: of each kind of journey and of all
    together ("all"), of the predicted noise and of the pictures. One pair has none."""
    kinds = {kind: [one] for kind, one in journeys.items()} | {"all": list(journeys.values())}
    found: dict[str, dict[str, Shells]] = {}
    for kind, chosen in kinds.items():
        found[kind] = {}
        for field, title in MEASURES.items():
            rows = pooled([getattr(one, field) for one in chosen])
            mine = rows[rows["path"].isin(candidates)]
            found[kind][title] = sights.over_pairs(mine, key, by="path", against=EXACT)
    return found


def pooled(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of pairs one after the other, each with pairs of its own."""
    found, before = [], 0
    for table in tables:
        found.append(table.assign(pair=table["pair"] + before))
        before += table["pair"].max() + 1
    return pd.concat(found, ignore_index=True)


def about_choice(above: Mapping[str, Mapping[str, Shells]]) -> pd.DataFrame:
    """Unevenness above the exact path's, a row a path, a column a kind of journey and a measure."""
    columns = {f"{title}, {kind}": found for kind, both in above.items() for title, found in both.items() if found}
    return pd.DataFrame({title: {path: f"{x:+.3f}" for path, x in one.items()} for title, one in columns.items()})


def about_middle(middle: pd.DataFrame) -> pd.DataFrame:
    """What is read half way, a row a path."""
    names = {"whole": "one character", "first": "the first", "second": "the second", "neither": "neither"}
    found = {title: sights.shares_over_pairs(middle, key, by="path") for key, title in names.items()}
    return pd.DataFrame({title: {path: f"{x:.2f}" for path, x in one.items()} for title, one in found.items()})


def written(path: Path, **seen: Sights) -> None:
    """Write the rows of all pictures, by what they were drawn for (column `asked`), all or nothing."""
    table = pd.concat([one.rows.assign(asked=asked) for asked, one in seen.items()], ignore_index=True)
    with files.aside(path) as aside:
        table.to_parquet(aside)


Above = Mapping[str, Mapping[str, Shells]]


def verdict_on_paths(chosen: str, above: Above, detour: Above, shape: Mapping[str, Shells]) -> str:
    """Which path to take and why."""
    exact, line = shape[EXACT]["off_shell"].value, shape["linear"]["off_shell"].value
    why = "no other path was shown to be more even" if chosen == EXACT else "it was shown to be more even"
    return (
        f"Recommended: {chosen}; {why} in the predicted noise. The straight line leaves the shell by {line:.3f} of its "
        f"radius, the exact path by {exact:.0e}. {line_against_exact(above, detour)}"
    )


def line_against_exact(above: Above, detour: Above) -> str:
    """How even and how straight the noise along the straight line is against the exact path, by kind of journey."""
    words = {"names": "between names", "tokens": "from class word to token"}
    even = {"yes": "less even", "no": "more even", "undecided": "not shown to be more or less even"}
    straight = {"yes": "less direct", "no": "more direct", "undecided": "not shown to be more or less direct"}
    said = []
    for kind, where in words.items():
        if "linear" in above[kind]["noise"]:
            one, other = above[kind]["noise"]["linear"], detour[kind]["noise"]["linear"]
            how = f"{even[results.verdict(one)]} ({one:+.2f}) and {straight[results.verdict(other)]} ({other:+.2f})"
            said.append(f"{where} {how}")
    return f"Noise along the line, against the exact path: {'; '.join(said)}."


def judgements(found: Mapping[str, Any], index: int) -> pd.DataFrame:
    """What became of each hypothesis: its bound, what was measured, and the verdict."""
    needs, thin, more = found["separable_with"], found["thinner_than_gaussian"], found["thinner_than_untrained"]
    of_few = f"{needs.value:.0f} [{needs.low:.0f}, {needs.high:.0f}]" if isinstance(needs, Interval) else "not reached"
    even = found["unevenness_above_exact_path"]
    even = even["all"]["noise"]["linear"] if "all" in even else even
    rows = [
        ("H1", "nine features tell 99% apart", of_few, found["few_features_separate"]),
        ("H1", "nine hold half of the gap", found["gap_share_top9"], found["few_features_hold_the_gap"]),
    ]
    for side in ("image", "text"):
        ratio = found[f"shell_over_gaussian_{side}"]
        rows.append(("H2", f"{side}s: CV over a Gaussian's below 1", ratio, thin[side]))
        rows.append(("H2", f"{side}s: below the untrained model's", _ratio_of_untrained(found, side), more[side]))
    rows += [
        ("H3", "alpha of least loss within 0.25 of 0", found["best_alpha"], found["means_are_where_loss_is_least"]),
        ("H4", "untrained over trained CV, 0.8 to 1.25", found["index5_shell_ratio"], found["shell_same_untrained"]),
        ("H5", f"source by index {index}, less half of its own", found["identity_through_index_less_half"],
         found["identity_flows_through_index"]),
        ("H6", "line's noise less even than the exact path's", even, found["exact_path_is_smoother"]),
    ]  # fmt: skip
    table = [
        {"": name, "asked": asked, "measured": _number(value), "holds": _verdict(held)}
        for name, asked, value, held in rows
    ]
    return pd.DataFrame(table)


def _ratio_of_untrained(found: Mapping[str, Any], side: str) -> Any:
    return found["untrained"].get(f"shell_over_gaussian_{side}", found["untrained"])


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, Interval) else "–" if isinstance(value, Mapping) else str(value)


def _verdict(held: Any) -> str:
    return held if isinstance(held, str) else "not asked"


def answer(found: Mapping[str, Any], index: int | None) -> list[str]:
    """The three lines under the title; without an index no model was asked."""
    gap, share, needs = found["modality_gap"], found["gap_share_top9"], found["separable_with"]
    count = f"{needs.value:.0f} feature(s)" if isinstance(needs, Interval) else "more features than were tried"
    clouds = (
        f"The means of the unit vectors are {gap:.2f} apart; the gap's nine largest features hold {share:.2f} of it; "
        f"to tell 99% of images and texts apart takes {count}."
    )
    shells = "Their shells could not be judged from so few rows."
    ratios = [found[f"shell_over_gaussian_{side}"] for side in ("image", "text")]
    if all(isinstance(ratio, Interval) for ratio in ratios):
        how = [f"{how_thin(ratio)} their covariance explains ({ratio:.2f} times)" for ratio in ratios]
        shells = f"The images' shell is {how[0]}, the texts' {how[1]}."
        shells = shells.replace("differ from their covariance explains", "differ from what their covariance explains")
    if index is None:
        return [clouds, shells, "Whether one may interpolate was not asked: give a model instead of features."]
    return [f"{clouds} {shells}", f"{_states(found, index)} {_flows(found, index)}", _paths(found)]


def _states(found: Mapping[str, Any], index: int) -> str:
    """What the shell at the index is."""
    said = {"yes": "the same up to a quarter", "no": "not the same", "undecided": "undecided"}
    ratio, verdict = found["index5_shell_ratio"], found["shell_same_untrained"]
    over = found["shells"][f"template, index {index}: trained, after the norm"]["over_gaussian"]
    return (
        f"At index {index} all states lie on the final norm's ellipsoid, trained or not, which is no finding. Around "
        f"their own mean the CV is {over:.2f} times a normal distribution's, untrained {ratio:.2f} times as large "
        f"({said[verdict]})."
    )


def _flows(found: Mapping[str, Any], index: int) -> str:
    """Where identity flows, if a reader told."""
    flow = found["identity_flow"]
    if not isinstance(flow.get("all"), Interval):
        return ""
    carried = found["identity_positions"]
    alone, all_of_them = flow[f"index {index}"], flow["all"]
    return (
        f"A name's state there alone draws its character in {alone:.2f} of pictures, all its states in "
        f"{all_of_them:.2f}; it takes {carried} ({flow[carried]:.2f})."
    )


def _paths(found: Mapping[str, Any]) -> str:
    """Whether one may interpolate, and how."""
    line = found["paths"]["linear"]["off_shell"].value
    against = line_against_exact(found["unevenness_above_exact_path"], found["detour_above_exact_path"])
    return (
        f"One may interpolate; by a rule fixed beforehand, by the {found['recommended_interpolation']}. The straight "
        f"line leaves the shell by {line:.2f} of its radius. {against}"
    )
