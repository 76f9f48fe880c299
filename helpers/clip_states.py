"""Report 01 on hidden states: shells at every position, the architectural null, and where identity flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from helpers import sights, textspace
from helpers.results import missing
from helpers.stats import Interval, mean_of_units
from helpers.textspace import Encoded, Population

MARGIN = 1.25
"""How far an untrained shell's CV may be from the trained one's, as a ratio either way, and count as the same (H4)."""
HALF = 0.5
"""Of the pictures that all of a prompt's states draw, the share that those at the index alone have to draw (H5)."""
FEWER = 0.25
"""How many of the pictures fewer a set of positions may draw than all positions, and still carry identity."""
Shells = Mapping[str, Interval]
Reading = dict[str, dict[str, Interval]]
"""For the first and the second character, the share of pictures by set of positions."""
UNREAD = "pictures of this model cannot be read"


def maps(encoders: Mapping[str, Encoded]) -> dict[str, pd.DataFrame]:
    """The shells of both populations in both encoders; those of too few texts are left out."""
    found = {}
    for name, one in encoders.items():
        for title, surveyed in (("captions", one.captions), ("template", one.words)):
            if len(surveyed.shells):
                found[f"{title}, {name}"] = surveyed.shells
    return found


def shells_of(
    encoders: Mapping[str, Encoded], captions: Population, words: Population, index: int
) -> dict[str, dict[str, Any]]:
    """textspace.shells_at of both populations: at the index, trained (before and after the norm) and untrained (after
    it), and where each encoder's shell is thinnest after the norm; `centre` is Encoded.off_centre.

    The thinnest place is chosen among many: its intervals are widened for as many (Bonferroni).
    """
    found: dict[str, dict[str, Any]] = {}
    for title, population in (("captions", captions), ("template", words)):
        for name, one in encoders.items():
            surveyed = one.captions if title == "captions" else one.words
            stages = {"before": surveyed.before, "after": surveyed.after}
            if name != "trained":
                del stages["before"]
            places = [(f"index {index}", index, 0.95, stages)]
            table = surveyed.shells
            after = table[table["layer"] == table["layer"].max()]
            if len(after):
                thinnest = int(after.loc[after["over_gaussian"].idxmin(), "position"])
                level = 1 - 0.05 / len(after)
                places.append((f"position {thinnest}, the thinnest", thinnest, level, {"after": surveyed.after}))
            for place, position, level, states in places:
                chosen = population.kept[:, position]
                if chosen.sum() < textspace.WORDS_NEEDED:
                    continue
                for stage, everywhere in states.items():
                    points = everywhere[chosen, position]
                    row = textspace.shells_at(points, unit=population.unit, level=level)
                    centre = one.off_centre(points) if stage == "after" else None
                    found[f"{title}, {place}: {name}, {stage} the norm"] = {**row, "centre": centre}
    return found


def about_shells(shells: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The table of the fifth section."""
    names = {"cv": "CV", "gaussian_cv": "Gaussian", "over_gaussian": "ratio", "participation_ratio": "PR"}
    rows = {
        row: {names[key]: f"{found[key]:.3f}" for key in names}
        | {"mean off centre": "–" if found["centre"] is None else f"{found['centre']:.2f}", "n": found["cv"].n}
        for row, found in shells.items()
    }
    return pd.DataFrame(rows).T


def same(ratio: Interval) -> str:
    """Whether a ratio is 1 up to MARGIN: "yes", "no" or "undecided"."""
    if ratio.low > 1 / MARGIN and ratio.high < MARGIN:
        return "yes"
    return "no" if ratio.low > MARGIN or ratio.high < 1 / MARGIN else "undecided"


def verdict_on_index(encoders: Mapping[str, Encoded], shells: Mapping[str, Any], ratio: Interval, index: int) -> str:
    """What the final norm makes of the shell, and what training adds."""
    exact = ", ".join(f"{one.off_ellipsoid(index):.0e} ({name})" for name, one in encoders.items())
    own = shells[f"template, index {index}: trained, after the norm"]["over_gaussian"]
    return (
        f"Around beta the shell is exact: ||z|| / sqrt(D) differs from 1 by at most {exact}. Around the template's own "
        f"mean the trained CV at index {index} is {own:.2f} times a normal distribution's, the untrained {ratio:.2f} "
        f"times the trained one ({textspace.INITS} draws of weights; H4 asks for {1 / MARGIN:.2f} to {MARGIN}: "
        f"{same(ratio)})."
    )


def verdict_on_places(shells: Mapping[str, Any]) -> str:
    """Whether training made a shell thinner than its covariance explains somewhere: thinnest against thinnest."""
    said = []
    for title in ("captions", "template"):
        rows = {row: one for row, one in shells.items() if row.startswith(title) and "the thinnest" in row}
        if len(rows) != 2:
            continue
        (place, one), (other_place, other) = rows.items()
        ratio, random = one["over_gaussian"], other["over_gaussian"]
        made = "training made it" if ratio.high < 1 and ratio.high < random.low else "not shown to be made by training"
        where = place.split(":")[0], other_place.split(":")[0].removeprefix(f"{title}, ")
        said.append(
            f"{where[0]}: {ratio:.2f} times a normal distribution's CV; untrained {where[1]}: {random:.2f}; {made} "
            f"(means {one['centre']:.2f} and {other['centre']:.2f} radii off beta)"
        )
    return f"Where shells are thinnest after the norm. {'. '.join(said)}." if said else ""


def norm_in_words(encoder: Encoded) -> str:
    """The range of the final norm's scales and shifts."""
    gamma, beta = encoder.norm.weight, encoder.norm.bias
    return (
        f"This model's gamma is {gamma.min():.2f} to {gamma.max():.2f}, its beta {beta.min():.2f} to {beta.max():.2f}."
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
    return pd.DataFrame(table).reindex(list(through)).fillna("–")


def through_index(rows: pd.DataFrame, index: int) -> Interval:
    """Pictures of the source by its state at the index alone, less HALF of those by all its states; over pairs (H5)."""
    shares = _by_pair(rows)
    return mean_of_units((shares[f"index {index}"] - HALF * shares["all"]).to_numpy(), "pairs")


def carriers(rows: pd.DataFrame, sets: Mapping[str, tuple[int, ...]]) -> str:
    """The smallest set of positions that draws the source's identity as all of its states do.

    That is: in at most FEWER of the pictures fewer, by the lower end of the interval over pairs. "all" if none does.
    """
    shares = _by_pair(rows)
    for name in sorted(sets, key=lambda name: len(sets[name])):
        if mean_of_units((shares[name] - shares["all"]).to_numpy(), "pairs").low > -FEWER and sets[name]:
            return name
    return "all"


def _by_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of pictures that show the source, a row a pair, a column a set of positions."""
    return rows.assign(hit=rows["first"].astype(float)).pivot_table(index="pair", columns="positions", values="hit")


def verdict_on_flow(drawn_as: Reading | None, through: Shells, index: int) -> str:
    """Who is drawn, in a sentence."""
    name, after = f"index {index}", "all after the name"
    noise = (
        f"Of the change in the predicted noise {through[name]:.2f} goes through {name} alone and "
        f"{through[after]:.2f} through all after it."
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
    return missing(UNREAD) if drawn_as is None else dict(drawn_as["first"])
