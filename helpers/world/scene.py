"""The factors of the chibi world: a frozen `Scene` says everything that a picture shows.

Values are continuous wherever nature is (colours, pose angles, places, sizes); the tables below
name the usual ones. What captions may say and what training pictures may show are kept apart:
`unnamed` values are drawn in training pictures and never said, `held_out` values are never drawn.
"""

from __future__ import annotations

import colorsys
import dataclasses
import math
import zlib

import numpy as np

SIZE = 64  # pixels, width and height of a picture
RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "black": (44, 40, 52),
    "brown": (124, 76, 44),
    "red": (206, 44, 44),
    "orange": (242, 136, 36),
    "yellow": (246, 214, 88),
    "green": (60, 158, 72),
    "blue": (56, 98, 214),
    "purple": (138, 70, 190),
    "pink": (250, 146, 188),
    "white": (238, 238, 244),
}
HAIR_COLOURS = {("blonde" if name == "yellow" else name): rgb for name, rgb in COLOURS.items()}
EYE_COLOURS = {name: COLOURS[name] for name in ("blue", "green", "brown", "red", "purple")} | {"golden": (236, 184, 40)}

HAIR_STYLES = {
    "short": 0.22,
    "long": 0.22,
    "twintails": 0.17,
    "spiky": 0.14,
    "bun": 0.1,
    "ponytail": 0.09,
    "curly": 0.06,
}
EYE_SHAPES = {"round": 0.6, "narrow": 0.22, "sleepy": 0.18, "wide": 0.0}
GARMENTS = {"dress": 0.34, "shirt": 0.3, "coat": 0.2, "overalls": 0.16}
PATTERNS = {"plain": 0.62, "striped": 0.22, "dotted": 0.16}
EMBLEMS = {
    "none": 0.52,
    "star": 0.14,
    "heart": 0.12,
    "moon": 0.08,
    "bolt": 0.07,
    "leaf": 0.04,
    "ring": 0.03,
    "cross": 0.0,
    "diamond": 0.0,
}
ACCESSORIES = {"none": 0.5, "hat": 0.13, "glasses": 0.12, "scarf": 0.1, "bow": 0.09, "headphones": 0.06, "crown": 0.0}
BACKGROUNDS = {
    "beach": 0.15,
    "forest": 0.13,
    "city": 0.13,
    "room": 0.12,
    "garden": 0.1,
    "sunset": 0.09,
    "snow": 0.08,
    "moon": 0.08,
    "underwater": 0.06,
    "desert": 0.06,
}
OBJECTS = {"none": 0.55, "ball": 0.12, "box": 0.09, "cat": 0.08, "plant": 0.06, "lamp": 0.06, "star": 0.04}
ART_STYLES = {"illustration": 0.7, "sketch": 0.1, "oil": 0.1, "pixel": 0.1, "watercolour": 0.0}
POSES: dict[str, tuple[float, float, float, float]] = {
    "standing": (18, 18, 4, 4),
    "waving": (18, 138, 4, 4),
    "cheering": (138, 138, 12, 12),
    "pointing": (92, 18, 4, 4),
    "jumping": (100, 100, 46, 46),
    "kicking": (58, 58, 4, 72),
}
POSE_WEIGHTS = {"standing": 0.3, "waving": 0.2, "cheering": 0.14, "pointing": 0.14, "jumping": 0.12, "kicking": 0.1}
PLACES = {"centre": 32.0, "left": 17.0, "right": 47.0}  # pixels, the character's horizontal position
PLACE_WEIGHTS = {"centre": 0.5, "left": 0.28, "right": 0.22}
SKINS = {"pale": (255, 226, 204), "tan": (222, 166, 122), "dark": (136, 86, 60)}

UNNAMED = {"hair_style": {"curly"}, "emblem": {"leaf", "ring"}}
HELD_OUT = {
    "eye_shape": {"wide"},
    "emblem": {"cross", "diamond"},
    "accessory": {"crown"},
    "art_style": {"watercolour"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Character:
    """An appearance. Colours are RGB, 0 to 255; `name` is empty for a nameless character."""

    hair_style: str
    hair_colour: RGB
    eye_left: RGB  # the eye on the viewer's left
    eye_right: RGB
    eye_shape: str
    skin: RGB
    garment: str
    garment_colour: RGB
    pattern: str
    emblem: str
    accessory: str
    name: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A character somewhere, in a pose: degrees away from hanging straight down, as the viewer sees
    them (left arm, right arm, left leg, right leg); `x` and `lift` (height above the ground) in pixels."""

    character: Character
    pose: tuple[float, float, float, float]
    x: float
    lift: float
    scale: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture. `figures` holds none, one or two characters, the one captions speak of first."""

    figures: tuple[Figure, ...]
    background: str
    background_seed: int
    object: str
    object_x: float
    art_style: str


def to_json(scene: Scene) -> dict:
    """A Scene as plain JSON values; `from_json` reads it back."""
    return dataclasses.asdict(scene)


def from_json(data: dict) -> Scene:
    """The Scene that `to_json` wrote."""
    figures = tuple(
        Figure(**{**figure, "pose": tuple(figure["pose"]), "character": character_from_json(figure["character"])})
        for figure in data["figures"]
    )
    return Scene(**{**data, "figures": figures})


def character_from_json(data: dict) -> Character:
    """A Character whose colours come back as tuples."""
    return Character(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


def rng(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """The generator of one draw: seeded by (seed, stream name, index), whatever was drawn before."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), index])


def nearest(colour: RGB, palette: dict[str, RGB]) -> tuple[str, float]:
    """Name of the palette's nearest colour and its Euclidean RGB distance."""
    return min(((name, math.dist(colour, rgb)) for name, rgb in palette.items()), key=lambda pair: pair[1])


def nearest_pose(pose: tuple[float, float, float, float]) -> tuple[str, float]:
    """Name of the nearest usual pose and the largest of the four angles' distances, in degrees."""
    largest = {name: max(abs(a - b) for a, b in zip(pose, usual, strict=True)) for name, usual in POSES.items()}
    return min(largest.items(), key=lambda pair: pair[1])


def place_of(x: float) -> str:
    """left, centre or right for a horizontal position in pixels."""
    return min(PLACES, key=lambda name: abs(PLACES[name] - x))


def unnamed_colour(generator: np.random.Generator, palette: dict[str, RGB], far: float = 60.0) -> RGB:
    """A vivid colour at least `far` RGB units from every named one, so that no caption names it."""
    while True:
        hue, saturation, value = generator.random(), generator.uniform(0.35, 1), generator.uniform(0.45, 1)
        colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))
        if nearest(colour, palette)[1] >= far:
            return colour


def jitter(generator: np.random.Generator, colour: RGB, deviation: float = 7.0) -> RGB:
    """The colour with Gaussian noise on each channel."""
    return tuple(int(np.clip(round(c + generator.normal(0, deviation)), 0, 255)) for c in colour)
