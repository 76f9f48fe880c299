"""How a person would describe a character to a model that does not know it, in the words of captions.

The Textual Inversion paper's human baseline (2208.01618, section 5.2): descriptions stand in S*'s place, short ones of
at most 12 words and long ones of at most 30. Values without a word in captions are left out, colours between words are
called by the nearest.
"""

from __future__ import annotations

import re

from helpers.world import scene as w
from helpers.world.captions import one_of, shown


def short_description(character: w.Character) -> str:
    """Class, hair and garment: "character with red long hair wearing a blue coat"."""
    return with_articles(["character", hair(character), garment(character, pattern=False)])


def long_description(character: w.Character) -> str:
    """All that captions have words for."""
    eyes = [w.nearest(eye, w.EYE_COLOURS)[0] for eye in (character.eye_left, character.eye_right)]
    said = [hair(character), f"with {eyes[0]} eyes", f"with {w.nearest(character.skin, w.SKINS)[0]} skin"]
    said.append(garment(character, pattern=True))
    if character.emblem in shown("emblem"):
        said.append(f"with a {character.emblem} emblem")
    if character.accessory in shown("accessory"):
        said.append(" ".join(["with", *one_of(character.accessory), character.accessory]))
    return with_articles(["character", *said])


def with_articles(parts: list[str]) -> str:
    """The parts as one text, an before a vowel."""
    return re.sub(r"\ba (?=[aeiou])", "an ", " ".join(parts))


def hair(character: w.Character) -> str:
    """Colour and, if it has a word, style."""
    style = character.hair_style if character.hair_style in shown("hair_style") else ""
    return " ".join(
        part for part in ("with", w.nearest(character.hair_colour, w.HAIR_COLOURS)[0], style, "hair") if part
    )


def garment(character: w.Character, *, pattern: bool) -> str:
    """Colour, perhaps pattern, and kind."""
    words = [w.nearest(character.garment_colour, w.COLOURS)[0]]
    words += [character.pattern] if pattern and character.pattern != "plain" else []
    return " ".join(["wearing", *one_of(character.garment), *words, character.garment])
