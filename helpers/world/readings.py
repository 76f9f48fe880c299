"""What the reader says of pictures, in the words of prompts: values, identities, edits, and both at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.config import InputError
from helpers.prompts import EditPrompt
from helpers.world import scene as w
from helpers.world.population import named_characters
from helpers.world.reader import COLOURLESS, SLOTS

Readings = dict[str, np.ndarray]
"""What `reader.read` returns."""
NEAR = 60.0
"""RGB distance within which a colour counts as a character's."""


def colour_names(colours: np.ndarray, palette: dict[str, w.RGB]) -> np.ndarray:
    """Nearest palette name of each colour [n, 3]; None for an abstention."""
    distances = np.linalg.norm(colours[:, None, :] - np.array(list(palette.values()), float), axis=2)
    return np.where(np.isnan(colours).any(1), None, np.array(list(palette), object)[distances.argmin(1)])


def read_factor(factor: str, readings: Readings, slot: int = 0) -> np.ndarray:
    """The value of a factor as prompts name it, read from each picture; None for an abstention.

    Of a figure's factors the value of the only or left figure (slot 0), or of the right one (slot 1).
    """
    if factor == "hair_colour":
        return colour_names(readings[f"hair_colour_{slot}"], w.HAIR_COLOURS)
    if factor == "garment_colour":
        return colour_names(readings[f"garment_colour_{slot}"], w.COLOURS)
    if factor == "place":
        return np.array([None if np.isnan(x) else w.place_of(x) for x in readings[f"x_{slot}"][:, 0]], object)
    if factor == "pose":
        poses = readings[f"pose_{slot}"]
        return np.array([None if np.isnan(pose).any() else pose_name(pose) for pose in poses], object)
    if factor in ("hair_style", "garment", "emblem", "accessory"):
        return readings[f"{factor}_{slot}"]
    return readings[factor]


def pose_name(pose: np.ndarray) -> str:
    """The usual pose whose angles are all within 40 degrees, or "unusual"."""
    name, distance = w.nearest_pose(tuple(pose))
    return name if distance < 40 else "unusual"


VALUES: dict[str, Sequence[str]] = {
    "background": list(w.BACKGROUNDS),
    "object": list(w.OBJECTS),
    "art_style": list(w.ART_STYLES),
    "pose": list(w.POSES),
    "place": list(w.PLACES),
    "hair_colour": list(w.HAIR_COLOURS),
    "hair_style": list(w.HAIR_STYLES),
    "garment": list(w.GARMENTS),
    "garment_colour": list(w.COLOURS),
    "emblem": list(w.EMBLEMS),
    "accessory": list(w.ACCESSORIES),
}
"""What a prompt may ask for, as the reader says it."""
FACTORS = ("background", "object", "art_style", "count", "place", "pose", "hair_style", "hair_colour", "garment")
"""Factors of `table`, beside x."""
PARTS = ("hair_colour", "hair_style", "eyes", "garment", "garment_colour", "emblem", "accessory")
"""What of a character `likeness` compares."""


def table(readings: Readings) -> pd.DataFrame:
    """One row a picture: the reader's value of each of FACTORS (None where it abstains) and x in pixels."""
    columns = {f"read_{factor}": read_factor(factor, readings) for factor in FACTORS}
    columns["read_count"] = pd.array(columns["read_count"], dtype="Int64")
    return pd.DataFrame(columns | {"read_x": readings["x_0"][:, 0]})


def looks_like(readings: Readings, character: w.Character) -> np.ndarray:
    """For each picture and slot [n, SLOTS] whether hair and garment have the character's colours, within NEAR.

    In a style without colours, whether they have the character's shapes. False where the reader abstains.
    """
    colours, shapes = np.ones((2, len(readings["count"]), SLOTS), bool)
    for slot, part in itertools.product(range(SLOTS), ("hair", "garment")):
        wanted = np.array(getattr(character, f"{part}_colour"), float)
        colours[:, slot] &= np.linalg.norm(readings[f"{part}_colour_{slot}"] - wanted, axis=1) <= NEAR
        shape = {"hair": "hair_style", "garment": "garment"}[part]
        shapes[:, slot] &= readings[f"{shape}_{slot}"] == getattr(character, shape)
    return np.where(np.isin(readings["art_style"].astype(str), COLOURLESS)[:, None], shapes, colours)


def part_like(readings: Readings, character: w.Character, part: str) -> np.ndarray:
    """For each picture and slot [n, SLOTS] whether one of PARTS is the character's: a colour within NEAR, both eyes in
    colour and shape, another value equal. False where the reader abstains."""

    def near(name: str, slot: int) -> np.ndarray:
        return np.linalg.norm(readings[f"{name}_{slot}"] - np.array(getattr(character, name), float), axis=1) <= NEAR

    found = []
    for slot in range(SLOTS):
        if part == "eyes":
            shape = readings[f"eye_shape_{slot}"] == character.eye_shape
            found.append(near("eye_left", slot) & near("eye_right", slot) & shape)
        elif part.endswith("colour"):
            found.append(near(part, slot))
        else:
            found.append(readings[f"{part}_{slot}"] == getattr(character, part))
    return np.stack(found, axis=1)


def likeness(readings: Readings, character: w.Character | None) -> pd.DataFrame:
    """One row a picture: like_<part> for each of PARTS, of the figure with most parts like the character's.

    Missing without a character, and of colours in a style that has none.
    """
    if character is None:
        columns = [f"like_{part}" for part in PARTS]
        return pd.DataFrame(pd.NA, index=range(len(readings["count"])), columns=columns, dtype="boolean")
    parts = {part: part_like(readings, character, part) for part in PARTS}
    best = sum(found.astype(int) for found in parts.values()).argmax(1)
    rows = np.arange(len(best))
    table = pd.DataFrame({f"like_{part}": found[rows, best] for part, found in parts.items()}).astype("boolean")
    coloured = [f"like_{part}" for part in PARTS if part == "eyes" or part.endswith("colour")]
    table.loc[np.isin(readings["art_style"].astype(str), COLOURLESS), coloured] = pd.NA
    return table


def both_there(readings: Readings, first: w.Character, second: w.Character) -> np.ndarray:
    """For each picture [n] whether it shows two figures of which one looks like each of two characters."""
    one, other = looks_like(readings, first), looks_like(readings, second)
    return (one[:, 0] & other[:, 1] | one[:, 1] & other[:, 0]) & (readings["count"] == 2)


def hair_like(readings: Readings, character: w.Character) -> np.ndarray:
    """For each picture and slot [n, SLOTS] whether the hair has the character's colour, within NEAR."""
    wanted = np.array(character.hair_colour, float)
    slots = [np.linalg.norm(readings[f"hair_colour_{slot}"] - wanted, axis=1) <= NEAR for slot in range(SLOTS)]
    return np.stack(slots, axis=1)


def success(readings: Readings, prompts: Sequence[EditPrompt], character: w.Character | None) -> pd.DataFrame:
    """One row a picture: whether its edit, the identity, and both are read right; columns edit, identity, joint.

    Averages of scores hide which picture lost what; here a picture counts only if nothing was lost. Of two figures it
    is enough that one is the concept, and that one does what was asked; jointly, it must be the same one. A companion
    is right if there are two characters and one of them has her hair; jointly, if the other one is the concept. What
    the reader abstains from is not right. Missing: edit and joint where a prompt asks for nothing; identity and joint
    without a character.

    Args:
        readings: of n pictures.
        prompts: of each picture, with what it asks for.
        character: the concept; None where its pictures share none.
    """
    nobody = np.zeros((len(prompts), SLOTS), bool)
    alike = nobody if character is None else looks_like(readings, character)
    edited = np.ones((len(prompts), SLOTS), bool)  # whether a figure, and its picture, are as asked
    both = alike.copy()
    for factor, value in sorted({pair for prompt in prompts for pair in prompt.asks}):
        asked = np.array([(factor, value) in prompt.asks for prompt in prompts])
        if factor == "companion":
            there = hair_like(readings, named_characters()[value]) & (readings["count"] == 2)[:, None]
            edited &= ~asked[:, None] | there.any(1, keepdims=True)
            both &= ~asked[:, None] | there[:, ::-1]
        else:
            slots = [read_factor(factor, readings, slot) == value for slot in range(SLOTS)]
            edited &= ~asked[:, None] | np.stack(slots, axis=1)
    joint = (edited & both).any(1)
    found = pd.DataFrame({"edit": edited.any(1), "identity": alike.any(1), "joint": joint}).astype("boolean")
    found.loc[[not prompt.asks for prompt in prompts], ["edit", "joint"]] = pd.NA
    if character is None:
        found[["identity", "joint"]] = pd.NA
    return found


def check_asks(prompts: Sequence[EditPrompt]) -> None:
    """Raise InputError if a prompt asks for what the reader cannot read."""
    for prompt in prompts:
        for factor, value in prompt.asks:
            known = list(named_characters()) if factor == "companion" else VALUES.get(factor, ())
            if value not in known:
                raise InputError(
                    f"prompt {prompt.text!r} asks for {factor} {value!r}, which chibi's reader cannot read: "
                    f"{factor} is one of {', '.join(known) or 'no factor; name ' + ', '.join([*VALUES, 'companion'])}."
                )
