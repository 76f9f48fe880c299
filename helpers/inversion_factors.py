"""What of a character a token has learned, by the reader: part after part, against what the model can draw at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.concepts import Concept
from helpers.evaluation import Instruments
from helpers.prompts import EditPrompt
from helpers.stats import UNITS, Interval, mean_of_units, share_of_rows
from helpers.world import scene as w
from helpers.world.chibi import character_of
from helpers.world.readings import PARTS

REACHES = ("named", "unnamed", "outside")
"""A value that captions have a word for; one that training pictures show and nobody names; one they never show."""
OUTSIDE = {"odd eyes": "eyes", "wide eyes": "eyes", "cross": "emblem", "diamond": "emblem", "crown": "accessory"}
"""The part that makes a newcomer unlike every training picture."""
SURROUNDINGS = ("pose", "place", "background")


def reach_of(concept: Concept) -> dict[str, str]:
    """One of REACHES for each part that the concept's character has; an emblem or accessory it has not is left out."""
    character = character_of(concept)
    outside = {OUTSIDE[name] for name in concept.facts["outside_reach"]}
    has = [part for part in PARTS if getattr(character, part, "") != "none"]
    inside = set(concept.facts["inside_reach"])
    return {part: "outside" if part in outside else "unnamed" if part in inside else "named" for part in has}


def alike(rows: pd.DataFrame, reaches: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """One row a picture of the photo and part: whether it is `like` the character's, and the part's `reach`.

    Args:
        rows: with the columns like_<part>.
        reaches: see `reach_of`, by concept.
    """
    photos = rows[rows["kind"] == "photo"]
    columns = {f"like_{part}": part for part in PARTS}
    keys = ["concept", "seed", "index", "condition"]
    long = photos[[*keys, *columns]].rename(columns=columns).melt(keys, var_name="part", value_name="like").dropna()
    long["reach"] = [reaches[c].get(part) for c, part in zip(long["concept"], long["part"], strict=True)]
    return long.dropna().astype({"like": float})


def share_alike(long: pd.DataFrame, conditions: Sequence[str], by: str) -> dict[str, dict[str, Interval]]:
    """Share of pictures alike, by part or by reach, in each condition; the interval is over concepts."""
    return {
        str(name): {
            condition: share_of_rows(mine[mine["condition"] == condition], "like")
            for condition in conditions
            if (mine["condition"] == condition).sum() > 1
        }
        for name, mine in long.groupby(by, observed=True)
    }


def gained(long: pd.DataFrame, condition: str, base: str, by: str) -> dict[str, Interval]:
    """How much more often a part is alike than in another condition, by part or by reach; paired within concepts."""
    found = {}
    for name, mine in long.groupby(by, observed=True):
        both = gained_by_concept(mine, condition, base)
        if len(both) > 1:
            found[str(name)] = mean_of_units(both.to_numpy(), UNITS["concept"])
    return found


def gained_by_concept(long: pd.DataFrame, condition: str, base: str) -> pd.Series:
    """How much more often parts are alike than in another condition, by concept; its parts weigh alike."""
    means = long.groupby(["concept", "part", "condition"], observed=True)["like"].mean().unstack()
    return (means[condition] - means[base]).dropna().groupby(level=0, observed=True).mean()


def ceiling_of(concept: Concept, instruments: Instruments) -> pd.DataFrame:
    """How often the reader finds each part in a concept's own pictures, which are right: concept, part, reach, like."""
    read, reach = read_own(concept, instruments), reach_of(concept)
    found = [float(read[f"like_{part}"].astype(float).mean()) for part in reach]
    return pd.DataFrame({"concept": concept.name, "part": list(reach), "reach": list(reach.values()), "like": found})


def style_seen(concept: Concept, instruments: Instruments) -> float:
    """Share of a style's own pictures that the reader sees in it; the concept is named after the style."""
    style = concept.name.removeprefix("style-")
    return float((read_own(concept, instruments)["read_art_style"] == style).mean())


def read_own(concept: Concept, instruments: Instruments) -> pd.DataFrame:
    """What the reader says of the pictures that only score."""
    own = concept.score_images
    read, _ = instruments.look(own, [EditPrompt(kind="photo", text="S*")] * len(own))
    return read


def overlap(
    rows: pd.DataFrame, concepts: Mapping[str, Concept], factor: str, conditions: Sequence[str]
) -> dict[str, Interval]:
    """How far the poses, places or backgrounds of the photo's pictures are those of the training pictures.

    1 minus the total variation distance between both distributions: 1 if they are the same, whatever they are; a model
    that keeps drawing at random is where the class word is. Pictures whose factor is not read are left out.

    Args:
        rows: of conditions.
        concepts: by name, with their scenes.
        factor: one of SURROUNDINGS.
        conditions: names.

    Returns:
        Intervals over concepts by condition; none where there are fewer than two concepts.
    """
    found = {}
    for condition in conditions:
        mine = rows[(rows["condition"] == condition) & (rows["kind"] == "photo")]
        shared = []
        for name, part in mine.groupby("concept", observed=True):
            taught = pd.Series(values_of(concepts[str(name)], factor)).value_counts(normalize=True)
            drawn = part[f"read_{factor}"].dropna().astype(str).value_counts(normalize=True)
            shared.append(float(np.minimum(*taught.align(drawn, fill_value=0.0)).sum()))
        if len(shared) > 1:
            found[condition] = mean_of_units(np.array(shared), UNITS["concept"])
    return found


def values_of(concept: Concept, factor: str) -> list[str]:
    """A factor's values in the training pictures."""
    scenes = [w.from_json(scene) for scene in concept.scenes[: len(concept.images)]]
    if factor == "background":
        return [scene.background for scene in scenes]
    figures = [scene.figures[0] for scene in scenes]
    return [w.place_of(f.x) if factor == "place" else w.nearest_pose(f.pose)[0] for f in figures]
