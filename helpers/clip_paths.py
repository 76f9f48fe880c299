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


def above_exact(journeys: Mapping[str, Journey], candidates: Sequence[str]) -> dict[str, dict[str, Shells]]:
    """Unevenness above that of the exact path, by path, 95% over pairs: of each kind of journey and of all together
    ("all"), of the predicted noise and of the pictures. One pair has none."""
    kinds = {kind: [one] for kind, one in journeys.items()} | {"all": list(journeys.values())}
    found: dict[str, dict[str, Shells]] = {}
    for kind, chosen in kinds.items():
        found[kind] = {}
        for field, title in MEASURES.items():
            rows = pooled([getattr(one, field) for one in chosen])
            mine = rows[rows["path"].isin(candidates)]
            found[kind][title] = sights.over_pairs(mine, "unevenness", by="path", against=EXACT)
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


def verdict_on_paths(chosen: str, above: Mapping[str, Mapping[str, Shells]], shape: Mapping[str, Shells]) -> str:
    """Which path to take and why."""
    exact, line = shape[EXACT]["off_shell"].value, shape["linear"]["off_shell"].value
    why = "no other path was shown to be more even" if chosen == EXACT else "it was shown to be more even"
    return (
        f"Recommended: {chosen}; {why} in the predicted noise. The straight line leaves the shell by {line:.3f} of its "
        f"radius, the exact path by {exact:.0e}. {line_against_exact(above)}"
    )


def line_against_exact(above: Mapping[str, Mapping[str, Shells]]) -> str:
    """How even the straight line is against the exact path, by kind of journey."""
    words = {"names": "between names", "tokens": "from class word to token"}
    said = []
    for kind, where in words.items():
        both = [f"{how_even(one['linear'])} in {title}" for title, one in above[kind].items() if "linear" in one]
        said += [f"{where} it is {' and '.join(both)}"] if both else []
    return f"Against the exact path, {'; '.join(said)}."


def how_even(above: Interval) -> str:
    """How uneven something is against the exact path."""
    said = {"yes": "less even", "no": "more even", "undecided": "not shown to be more or less even"}
    return f"{said[results.verdict(above)]} ({above:+.3f})"


def answer(found: Mapping[str, Any], index: int | None) -> list[str]:
    """The three lines under the title; without an index no model was asked."""
    gap, share, needs = found["modality_gap"], found["gap_share_top9"], found["separable_with"]
    apart = f"at most {needs.value:.0f} of them" if isinstance(needs, Interval) else "no number of them that was tried"
    clouds = f"Unit vectors are {gap:.2f} apart; nine features hold {share:.2f} of the gap, {apart} tell both apart."
    shells = "Their shells could not be judged from so few rows."
    ratios = [found[f"shell_over_gaussian_{side}"] for side in ("image", "text")]
    if all(isinstance(ratio, Interval) for ratio in ratios):
        how = [f"{how_thin(ratio)} their covariance explains ({ratio:.2f} times)" for ratio in ratios]
        shells = f"The images' shell is {how[0]}, the texts' {how[1]}."
    if index is None:
        return [clouds, shells, "Features alone were given: hidden states and interpolation were not asked."]
    return [f"{clouds} {shells}", f"{_states(found, index)} {_flows(found, index)}", _paths(found)]


def _states(found: Mapping[str, Any], index: int) -> str:
    """What the shell at the index is."""
    said = {"yes": "the shell is architecture", "no": "not architecture alone", "undecided": "undecided"}
    ratio, verdict = found["index5_shell_ratio"], found["shell_at_index_is_architecture"]
    return (
        f"At index {index} all states lie on the final norm's ellipsoid, trained or not; around their own mean the CV "
        f"is {found['index5_shell_cv']:.3f}, with random weights {ratio:.2f} times that ({said[verdict]})."
    )


def _flows(found: Mapping[str, Any], index: int) -> str:
    """Where identity flows, if a reader told."""
    flow = found["identity_flow"]
    if not isinstance(flow.get("all"), Interval):
        return ""
    alone, after, both = (flow[key] for key in (f"index {index}", "all after the name", "all"))
    return (
        f"A name's state there alone draws its character in {alone:.2f} of pictures, those after it in {after:.2f}, "
        f"all in {both:.2f}; it takes {found['identity_positions']}."
    )


def _paths(found: Mapping[str, Any]) -> str:
    """Whether one may interpolate, and how."""
    line, above = found["paths"]["linear"]["off_shell"].value, found["unevenness_above_exact_path"]
    return (
        f"One may interpolate, by the {found['recommended_interpolation']}. The straight line leaves the shell by "
        f"{line:.2f} of its radius. {line_against_exact(above)}"
    )
