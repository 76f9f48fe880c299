"""Report 01 on hidden states and the ways between them: its tables, its verdicts, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import files, geometry, interpolation, results, sights, textspace
from helpers.clip_report import thinner
from helpers.journeys import Journey
from helpers.results import missing
from helpers.sights import Sights
from helpers.stats import Interval, jackknife, mean_of_units
from helpers.textspace import Encoded, Population

THICKER = 1.25
"""How much thicker an untrained shell may be than a trained one and still count as thin as it (H4)."""
STAGES = {"before the norm": -2, "after the norm": -1}
Shells = Mapping[str, Interval]
Reading = dict[str, dict[str, Interval]]
"""For the first and the second character, the share of pictures by set of positions."""


def maps(encoders: Mapping[str, Encoded], captions: Population, words: Population) -> dict[str, pd.DataFrame]:
    """textspace.shell_map of both populations in both encoders, with the ratio to a normal distribution; those of too
    few texts are left out."""
    found = {}
    for name, one in encoders.items():
        for title, states, kept in (("captions", one.captions, captions.kept), ("template", one.words, words.kept)):
            table = textspace.shell_map(states, kept)
            if len(table):
                found[f"{title}, {name}"] = table.assign(over_gaussian=table["cv"] / table["gaussian_cv"])
    return found


def shells_at_index(encoders: Mapping[str, Encoded], index: int) -> dict[str, dict[str, Interval]]:
    """textspace.shells_at of population B, before and after the final norm, trained and untrained."""
    return {
        f"{name}, {stage}": textspace.shells_at(one.words[layer, :, index], unit="words")
        for name, one in encoders.items()
        for stage, layer in STAGES.items()
    }


def about_index(shells: Mapping[str, Shells]) -> pd.DataFrame:
    """The table of the fifth section, a row an encoder and stage."""
    names = {"cv": "CV", "gaussian_cv": "Gaussian", "over_gaussian": "ratio", "participation_ratio": "PR"}
    rows = {row: {names[key]: f"{found[key]:.3f}" for key in names} for row, found in shells.items()}
    return pd.DataFrame(rows).T


def thickness(encoders: Mapping[str, Encoded], index: int) -> Interval:
    """CV of the untrained encoder's shell at the index over that of the trained one, over the same words."""
    clouds = [encoders[name].words[-1, :, index].double() for name in ("untrained", "trained")]

    def ratio(chosen: np.ndarray) -> float:
        one, other = (geometry.shell_cv(points[chosen]) for points in clouds)
        return one / other

    return jackknife(ratio, n=len(clouds[0]), unit="words", groups=textspace.GROUPS)


def is_architecture(encoders: Mapping[str, Encoded], index: int) -> str:
    """Whether the untrained shell is as thin as the trained one, up to THICKER (H4)."""
    ratio = thickness(encoders, index)
    return "yes" if ratio.high < THICKER else "no" if ratio.low > THICKER else "undecided"


def verdict_on_index(encoders: Mapping[str, Encoded], index: int) -> str:
    """What training adds to the shell."""
    ratio, verdict = thickness(encoders, index), is_architecture(encoders, index)
    said = {"yes": "as thin as", "no": "thicker than", "undecided": "perhaps as thin as"}[verdict]
    return (
        f"Around the population's own mean the untrained shell is {said} the trained one: its CV is {ratio:.2f} times "
        f"that (H4: at most {THICKER}; {verdict})."
    )


def about_flow(drawn_as: Reading | None, through: Shells, rows: pd.DataFrame | None) -> pd.DataFrame:
    """The table of the sixth section, a row a set of positions."""
    columns: dict[str, Mapping[str, Interval]] = {}
    if drawn_as is not None:
        to_source = rows.assign(to_source=1 - rows["to_second"]).dropna(subset="to_source")
        moved = sights.over_pairs(to_source, "to_source", by="positions")
        columns = {"source": drawn_as["first"], "base": drawn_as["second"], "colours to source": moved}
    columns["predicted noise"] = through
    table = {name: {row: f"{x:.2f}" for row, x in found.items()} for name, found in columns.items()}
    return pd.DataFrame(table).reindex(list(through))


def through_index(rows: pd.DataFrame, index: int) -> str:
    """Whether the source's state at the index alone draws it at least half as often as all of its states do (H5)."""
    shares = rows.assign(hit=rows["first"].astype(float)).pivot_table(index="pair", columns="positions", values="hit")
    more = (shares[f"index {index}"] - shares["all"] / 2).to_numpy()
    return results.verdict(mean_of_units(more, "pairs"))


def verdict_on_flow(drawn_as: Reading | None, through: Shells, index: int) -> str:
    """Who is drawn, in a sentence."""
    name, after = f"index {index}", "all after the name"
    noise = (
        f"Of the change in the predicted noise {through[name].value:.2f} goes through {name} alone and "
        f"{through[after].value:.2f} through all after it."
    )
    if drawn_as is None:
        return noise
    sets = {f"at {name} alone": name, "at all after it": after, "at end-of-text alone": "end of text", "at all": "all"}
    said = "; ".join(
        f"{said} {drawn_as['first'][key].value:.2f} and {drawn_as['second'][key].value:.2f}"
        for said, key in sets.items()
    )
    return f"Shares of pictures that show the source and the base, with the source's states {said}. {noise}"


def flow_result(drawn_as: Reading | None) -> dict[str, Any]:
    """identity_flow: the share of pictures that show the source, by the positions whose states are its."""
    return missing("pictures of this model cannot be read") if drawn_as is None else dict(drawn_as["first"])


def about_paths(shape: Mapping[str, Shells], journey: Journey) -> pd.DataFrame:
    """The table of the seventh section, a row a path."""
    columns = {"off the shell": "off_shell", "length": "length", "drift": "drift"}
    table = {title: {path: f"{numbers[key]:.3f}" for path, numbers in shape.items()} for title, key in columns.items()}
    for key in ("unevenness", "detour"):
        found = sights.over_pairs(journey.smooth, key, by="path")
        table[key] = {path: f"{x:.2f}" for path, x in found.items()}
    return pd.DataFrame(table).fillna("–")


def about_middle(middle: pd.DataFrame) -> pd.DataFrame:
    """What is read half way, a row a path."""
    names = {"whole": "one character", "first": "the first", "second": "the second", "neither": "neither"}
    found = {title: sights.shares_over_pairs(middle, key, by="path") for key, title in names.items()}
    return pd.DataFrame({title: {path: f"{x:.2f}" for path, x in one.items()} for title, one in found.items()})


def about_tokens(journey: Journey, above: Shells) -> pd.DataFrame:
    """Evenness from class word to token, and of all journeys against the exact path; a row a path."""
    table = {}
    for key in ("unevenness", "detour"):
        means = journey.smooth.groupby("path", sort=False)[key].mean()
        table[key] = {path: f"{value:.2f}" for path, value in means.items()}
    table["above the exact path"] = {path: f"{x:+.3f}" for path, x in above.items()}
    return pd.DataFrame(table).fillna("–")


def pooled(between: Journey, to_token: Journey) -> pd.DataFrame:
    """Evenness of both kinds of journeys, pairs of names first."""
    first = between.smooth["pair"].max() + 1
    return pd.concat([between.smooth, to_token.smooth.assign(pair=lambda rows: rows["pair"] + first)])


def written(path: Path, **seen: Sights) -> None:
    """Write the rows of all pictures, by what they were drawn for (column `asked`), all or nothing."""
    table = pd.concat([one.rows.assign(asked=asked) for asked, one in seen.items()], ignore_index=True)
    with files.aside(path) as aside:
        table.to_parquet(aside)


def verdict_on_paths(chosen: str, above: Shells, straight: Interval, shape: Mapping[str, Shells]) -> str:
    """Which path to take and why."""
    exact, line = shape[interpolation.EXACT]["off_shell"].value, shape["linear"]["off_shell"].value
    even = {"yes": "more evenly than", "no": "less evenly than", "undecided": "as evenly, within the interval, as"}
    why = "no other path draws more evenly" if chosen == interpolation.EXACT else "it draws more evenly"
    return (
        f"Recommended: {chosen}, because {why} ({len(above)} comparisons). Along the exact path pictures change "
        f"{even[results.falls(straight)]} along the straight line ({straight:+.3f}; H6). The straight line leaves the "
        f"shell by {line:.3f} of its radius, the exact path by {exact:.0e}."
    )


def answer(found: Mapping[str, Any], index: int | None) -> list[str]:
    """The three lines under the title; without an index no model was asked."""
    gap, share, needs = found["modality_gap"], found["gap_share_top9"], found["separable_with"]
    apart = f"{needs.value:.0f} of them" if isinstance(needs, Interval) else "no number of them that was tried"
    ratios = [found[f"shell_over_gaussian_{side}"] for side in ("image", "text")]
    shells = "Their shells could not be judged from so few rows."
    if all(isinstance(ratio, Interval) for ratio in ratios):
        said = {"yes": "thinner than", "no": "thicker than", "undecided": "no thinner than"}
        how = [f"{said[thinner(ratio)]} their covariance explains ({ratio:.2f} times)" for ratio in ratios]
        shells = f"The images' shell is {how[0]}, the texts' {how[1]}."
    clouds = (
        f"Images and texts are {gap:.2f} apart. Nine features hold {share:.2f} of the gap, {apart} tell them apart."
    )
    if index is None:
        return [clouds, shells, "Features alone were given: hidden states and interpolation were not asked."]
    trained, random = found["index5_shell_cv"], found["index5_shell_cv_random_init"]
    states = f"The final layer norm makes the shell at index {index}: its CV is {trained:.3f}, untrained {random:.3f}."
    path = f"Recommended path: {found['recommended_interpolation']}."
    return [f"{clouds} {shells}", states, f"{_flows(found, index)}{path}"]


def _flows(found: Mapping[str, Any], index: int) -> str:
    """Where identity flows, if a reader told."""
    flow = found["identity_flow"]
    if not isinstance(flow.get("all"), Interval):
        return ""
    alone, after, both = (flow[key].value for key in (f"index {index}", "all after the name", "all"))
    return (
        f"A name's state at index {index} alone draws its character in {alone:.2f} of pictures, those after it alone "
        f"in {after:.2f}, both together in {both:.2f}: interpolate at all of them. "
    )
