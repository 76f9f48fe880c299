"""Draw a figure: a character in its pose, back to front."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from helpers.world.pen import LID, Pen, shade
from helpers.world.scene import RGB, Character, Figure

EMBLEM_COLOURS: dict[str, RGB] = {
    "star": (255, 220, 60),
    "heart": (235, 50, 80),
    "moon": (190, 225, 255),
    "bolt": (255, 150, 30),
    "leaf": (70, 190, 80),
    "ring": (70, 200, 220),
    "cross": (245, 245, 245),
    "diamond": (190, 90, 235),
}


def draw_figure(layer: Image.Image, figure: Figure) -> None:
    """Draw back to front: back hair, legs, body, head, arms."""
    pen, character = Pen(layer, figure), figure.character
    left_arm, right_arm, left_leg, right_leg = figure.pose
    _back_hair(pen, character)
    for side, angle in ((-1, left_leg), (1, right_leg)):
        _leg(pen, character, side, angle)
    _garment(pen, character)
    _head(pen, character)
    if character.accessory == "scarf":
        pen.ellipse(0, 20.2, 7.2, 2.4, (214, 66, 60))
        pen.polygon([(2, 20), (6, 20), (6.5, 12.5), (3, 12.5)], (214, 66, 60))
    for side, angle in ((-1, left_arm), (1, right_arm)):
        _arm(pen, character, side, angle)


def _leg(pen: Pen, character: Character, side: int, angle: float) -> None:
    turn = math.radians(angle)
    hip = (side * 3.0, 9.0)
    foot = (hip[0] + side * 7.6 * math.sin(turn), hip[1] - 7.6 * math.cos(turn))
    trousers = character.garment_colour if character.garment == "overalls" else character.skin
    pen.limb(hip, foot, 3.4, trousers)
    pen.ellipse(foot[0] + side * 0.7, foot[1], 2.9, 2.0, (92, 62, 56))


def _arm(pen: Pen, character: Character, side: int, angle: float) -> None:
    turn = math.radians(angle)
    shoulder = (side * 5.6, 18.0)
    direction = (side * math.sin(turn), -math.cos(turn))
    elbow = (shoulder[0] + 6.5 * direction[0], shoulder[1] + 6.5 * direction[1])
    hand = (shoulder[0] + 11.0 * direction[0], shoulder[1] + 11.0 * direction[1])
    sleeve = (244, 240, 232) if character.garment == "overalls" else character.garment_colour
    pen.limb(shoulder, hand, 2.9, character.skin)
    pen.limb(shoulder, elbow, 3.1, sleeve)


def _garment(pen: Pen, character: Character) -> None:
    colour, trim = character.garment_colour, shade(character.garment_colour, 0.72)
    if character.garment == "dress":
        shape = [(-5, 20.5), (5, 20.5), (6.2, 13), (10.2, 5.5), (-10.2, 5.5), (-6.2, 13)]
    elif character.garment == "coat":
        shape = [(-6.4, 20.5), (6.4, 20.5), (7.4, 4), (-7.4, 4)]
    else:
        shape = [(-6, 20.5), (6, 20.5), (6.2, 9), (-6.2, 9)]
    if character.garment == "overalls":
        pen.polygon(shape, (244, 240, 232))
        pen.polygon([(-6, 16), (6, 16), (6.4, 7.5), (-6.4, 7.5)], colour)
        _pattern(pen, character, 6, 8, 15)
        for side in (-1, 1):
            pen.stroke([(side * 4.2, 20.5), (side * 4.2, 15)], colour, 1.8)
    else:
        pen.polygon(shape, colour)
        _pattern(pen, character, 5.6 if character.garment == "shirt" else 6.2, 6.5, 19.5)
    if character.garment == "shirt":
        pen.polygon([(-6.4, 10.5), (6.4, 10.5), (7, 6), (0.8, 6), (0, 8), (-0.8, 6), (-7, 6)], (74, 84, 112))
    if character.garment == "coat":
        pen.stroke([(0, 20.5), (0, 4)], trim, 1.0)
        pen.polygon([(-6.4, 20.5), (0, 14.5), (6.4, 20.5)], (246, 242, 232))
    if character.garment == "dress":
        pen.polygon([(-4, 20.5), (0, 17.8), (4, 20.5)], (250, 248, 244))
    _emblem(pen, character.emblem, 0, 12.4, 4.3)


def _pattern(pen: Pen, character: Character, half_width: float, low: float, high: float) -> None:
    light = (
        shade(character.garment_colour, 2.6)
        if sum(character.garment_colour) < 560
        else shade(character.garment_colour, 0.6)
    )
    if character.pattern == "striped":
        for step in range(int((high - low) // 3.4) + 1):
            y = low + 1.2 + 3.4 * step
            pen.stroke([(-half_width, y), (half_width, y)], light, 1.5)
    elif character.pattern == "dotted":
        for row, y in enumerate(np.arange(low + 1.5, high, 3.6)):
            for x in np.arange(-half_width + 1.4 + 1.6 * (row % 2), half_width - 0.6, 3.6):
                pen.ellipse(float(x), float(y), 1.05, 1.05, light, outline=None)


def _emblem(pen: Pen, emblem: str, x: float, y: float, r: float) -> None:
    """The sign on the chest, on a dark badge, each in a colour of its own."""
    if emblem == "none":
        return
    colour = EMBLEM_COLOURS[emblem]
    pen.ellipse(x, y, r + 0.6, r + 0.6, (60, 52, 78), outline=(250, 250, 250))
    if emblem == "star":
        pen.star(x, y, r, colour)
    elif emblem == "heart":
        pen.ellipse(x - r * 0.36, y + r * 0.25, r * 0.46, r * 0.46, colour, outline=None)
        pen.ellipse(x + r * 0.36, y + r * 0.25, r * 0.46, r * 0.46, colour, outline=None)
        pen.polygon([(x - r * 0.8, y + r * 0.12), (x + r * 0.8, y + r * 0.12), (x, y - r * 0.85)], colour, outline=None)
    elif emblem == "moon":
        pen.ellipse(x, y, r * 0.85, r * 0.85, colour, outline=None)
        pen.ellipse(x + r * 0.42, y + r * 0.2, r * 0.66, r * 0.66, (60, 52, 78), outline=None)
    elif emblem == "bolt":
        zigzag = [(0.3, 0.95), (-0.62, -0.1), (-0.05, -0.1), (-0.3, -0.95), (0.62, 0.15), (0.05, 0.15)]
        pen.polygon([(x + r * a, y + r * b) for a, b in zigzag], colour, outline=None)
    elif emblem == "leaf":
        pen.polygon([(x, y + r), (x + r * 0.62, y), (x, y - r), (x - r * 0.62, y)], colour, outline=None)
        pen.stroke([(x, y + r * 0.7), (x, y - r)], (30, 90, 40), 0.6)
    elif emblem == "ring":
        pen.ellipse(x, y, r * 0.82, r * 0.82, colour, outline=None)
        pen.ellipse(x, y, r * 0.42, r * 0.42, (60, 52, 78), outline=None)
    elif emblem == "cross":
        pen.stroke([(x, y - r * 0.8), (x, y + r * 0.8)], colour, r * 0.45)
        pen.stroke([(x - r * 0.8, y), (x + r * 0.8, y)], colour, r * 0.45)
    elif emblem == "diamond":
        pen.polygon(
            [(x - r * 0.85, y + r * 0.2), (x, y + r * 0.85), (x + r * 0.85, y + r * 0.2), (x, y - r * 0.85)],
            colour,
            None,
        )


def _back_hair(pen: Pen, character: Character) -> None:
    colour, style = character.hair_colour, character.hair_style
    if style == "long":
        pen.polygon([(-12, 33), (12, 33), (12.6, 20), (11, 9), (6, 7.5), (-6, 7.5), (-11, 9), (-12.6, 20)], colour)
    elif style == "twintails":
        for side in (-1, 1):
            pen.polygon(
                [
                    (side * 9, 37),
                    (side * 13.5, 38),
                    (side * 17.6, 28),
                    (side * 16.4, 15),
                    (side * 13.2, 11.5),
                    (side * 12.4, 22),
                    (side * 10, 30),
                ],
                colour,
            )
            pen.ellipse(side * 11.2, 36.5, 2.0, 2.0, (240, 90, 120))
    elif style == "ponytail":
        pen.polygon([(5, 39), (12, 40), (17.5, 33), (17.6, 20), (14, 11.5), (12.4, 22), (10, 30)], colour)
        pen.ellipse(10, 38, 2.2, 2.2, (250, 250, 250))
    elif style == "bun":
        pen.ellipse(0, 43.2, 5.4, 4.8, colour)
    elif style == "curly":
        for angle in range(-20, 201, 20):
            turn = math.radians(angle)
            pen.ellipse(11.6 * math.cos(turn), 31 + 10.6 * math.sin(turn), 4.2, 4.2, colour)
    elif style == "spiky":
        spikes = []
        for i in range(13):
            turn = math.radians(-30 + i * 20)
            radius = 17.0 if i % 2 else 11.0
            spikes.append((radius * math.cos(turn), 31.5 + radius * 0.9 * math.sin(turn)))
        pen.polygon(spikes, colour)


def _head(pen: Pen, character: Character) -> None:
    """Head, fringe, eyes, mouth, and what is worn on the head."""
    hair, skin = character.hair_colour, character.skin
    pen.ellipse(0, 31.5, 12.2, 11.4, hair)
    pen.ellipse(0, 29.2, 10.3, 9.2, skin, outline=None)
    fringe = [
        (-11.2, 31),
        (-10.2, 37),
        (-5, 41),
        (5, 41),
        (10.2, 37),
        (11.2, 31),
        (8.6, 34.6),
        (4.6, 33.4),
        (2.2, 36),
        (-2.6, 33.6),
        (-7.8, 34.8),
    ]
    pen.polygon(fringe, hair, outline=None)
    pen.stroke(
        [(-11, 31.5), (-8, 34.8), (-2.6, 33.6), (2.2, 36), (4.6, 33.4), (8.6, 34.6), (11, 31.5)], shade(hair, 0.7), 0.7
    )
    pen.stroke([(-5.5, 39.4), (-1.5, 40.4)], shade(hair, 1.7), 1.3)
    for side, colour in ((-1, character.eye_left), (1, character.eye_right)):
        _eye(pen, side * 4.9, 28.6, colour, character.eye_shape)
        pen.ellipse(side * 7.6, 24.4, 1.7, 0.9, (246, 150, 140), outline=None)
    pen.stroke([(-1.6, 23.2), (0, 22.5), (1.6, 23.2)], (150, 60, 60), 0.8)
    _headwear(pen, character.accessory)


def _eye(pen: Pen, x: float, y: float, colour: RGB, shape: str) -> None:
    if shape == "round":
        pen.ellipse(x, y, 3.7, 4.8, colour)
        pen.ellipse(x, y - 0.4, 1.1, 1.5, (24, 20, 30), outline=None)
        pen.ellipse(x - 1.0, y + 2.0, 1.0, 1.1, (255, 255, 255), outline=None)
    elif shape == "narrow":
        pen.ellipse(x, y - 0.4, 4.0, 2.8, colour, outline=None)
        pen.ellipse(x, y - 0.2, 1.0, 1.5, (24, 20, 30), outline=None)
        pen.stroke([(x - 4.1, y + 1.2), (x - 1.6, y + 2.3), (x + 1.6, y + 2.3), (x + 4.1, y + 1.2)], LID, 0.9)
    elif shape == "sleepy":
        left, top = pen.point(x - 3.4, y + 3.4)
        right, bottom = pen.point(x + 3.4, y - 4.2)
        pen.draw.pieslice((left, top, right, bottom), 0, 180, fill=colour)
        pen.ellipse(x, y - 1.6, 1.1, 1.2, (24, 20, 30), outline=None)
        pen.stroke([(x - 4.0, y + 0.2), (x - 3.2, y - 0.3), (x + 3.2, y - 0.3), (x + 4.0, y + 0.2)], LID, 1.2)
    else:  # wide: a small iris in much white
        pen.ellipse(x, y, 4.3, 4.9, (252, 252, 252))
        pen.ellipse(x, y, 2.5, 2.7, colour, outline=None)
        pen.ellipse(x, y, 0.9, 1.0, (24, 20, 30), outline=None)


def _headwear(pen: Pen, accessory: str) -> None:
    if accessory == "hat":
        pen.ellipse(0, 38.2, 14.2, 2.7, (150, 104, 58))
        pen.polygon([(-8, 38.4), (8, 38.4), (6.6, 46), (-6.6, 46)], (168, 118, 66))
        pen.stroke([(-7.6, 39.9), (7.6, 39.9)], (210, 60, 60), 1.6)
    elif accessory == "glasses":
        for x in (-4.9, 4.9):
            left, top = pen.point(x - 4.4, 33)
            right, bottom = pen.point(x + 4.4, 24)
            pen.draw.ellipse((left, top, right, bottom), outline=(30, 30, 40), width=max(3, round(1.1 * pen.unit)))
        pen.stroke([(-0.8, 29), (0.8, 29)], (30, 30, 40), 1.0)
    elif accessory == "bow":
        pen.polygon([(0, 41.5), (-7, 46), (-7, 37.5)], (230, 60, 110))
        pen.polygon([(0, 41.5), (7, 46), (7, 37.5)], (230, 60, 110))
        pen.ellipse(0, 41.5, 1.9, 1.9, (250, 140, 170))
    elif accessory == "headphones":
        for side in (-1, 1):
            pen.ellipse(side * 12.2, 29.5, 2.6, 4.4, (60, 64, 84))
            pen.ellipse(side * 12.6, 29.5, 1.3, 2.6, (110, 220, 230), outline=None)
        band = [(12 * math.cos(a), 31 + 12 * math.sin(a)) for a in np.linspace(0.1, math.pi - 0.1, 12)]
        pen.stroke(band, (60, 64, 84), 1.6)
    elif accessory == "crown":
        pen.polygon([(-7, 39.5), (7, 39.5), (8, 47), (3.6, 43), (0, 48), (-3.6, 43), (-8, 47)], (250, 204, 60))
        pen.ellipse(0, 41.6, 1.4, 1.4, (220, 50, 80), outline=None)
