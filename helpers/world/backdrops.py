"""Background scenes, each with variation drawn from its own seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from helpers.world.canvas import Canvas
from helpers.world.scene import RGB, SIZE, rng


def draw_background(pen: ImageDraw.ImageDraw, background: str, seed: int, zoom: int) -> None:
    """Fill the canvas with one of `scene.BACKGROUNDS`; the same seed draws the same picture."""
    BACKDROPS[background](Canvas(pen, zoom), rng(seed, background))


def _vary(generator: np.random.Generator, colour: RGB, deviation: float = 6.0) -> RGB:
    """The colour, lighter or darker as a whole and a little off in hue."""
    shift = generator.normal(0, deviation)
    return tuple(int(np.clip(c + shift + generator.normal(0, deviation / 3), 0, 255)) for c in colour)


def _beach(canvas: Canvas, g: np.random.Generator) -> None:
    horizon = g.uniform(26, 33)
    canvas.bands(0, horizon, _vary(g, (118, 198, 246)), _vary(g, (206, 236, 250)), 6)
    canvas.ellipse(g.uniform(6, 58), g.uniform(6, 13), 5, 5, (255, 240, 150))
    canvas.rectangle(0, horizon, SIZE, horizon + 14, _vary(g, (40, 140, 206)))
    for _ in range(3):
        x, y = g.uniform(0, 60), horizon + g.uniform(2, 9)
        canvas.line([(x, y), (x + 7, y)], (170, 222, 244), 0.8)
    shore = [(x, horizon + 12 + 1.5 * math.sin(x / 6 + g.uniform(0, 0.4))) for x in range(0, 65, 4)]
    canvas.polygon([*shore, (64, 64), (0, 64)], _vary(g, (244, 222, 164)))


def _forest(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 48, _vary(g, (150, 206, 150)), _vary(g, (92, 158, 98)), 5)
    for x in np.arange(-2, 70, 16) + g.uniform(-4, 4, 5):
        width = g.uniform(2.0, 3.0)
        canvas.rectangle(x - width, 10, x + width, 50, _vary(g, (104, 82, 54)))
    for x in np.arange(-2, 68, 9) + g.uniform(-3, 3, 8):
        canvas.ellipse(x, g.uniform(4, 13), g.uniform(7, 10), g.uniform(7, 11), _vary(g, (36, 104, 54), 9))
    canvas.rectangle(0, 48, SIZE, SIZE, _vary(g, (74, 122, 58)))
    for x in g.uniform(0, 64, 3):
        canvas.line([(x, 53), (x + g.uniform(-1.5, 1.5), 49)], (44, 92, 42), 0.9)


def _city(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 49, _vary(g, (160, 186, 214)), _vary(g, (222, 224, 228)), 5)
    x = g.uniform(-6, 0)
    while x < SIZE:
        width, top = g.uniform(9, 14), g.uniform(6, 28)
        canvas.rectangle(x, top, x + width, 50, _vary(g, (108, 112, 132), 12))
        for row in np.arange(top + 3, 44, 6.5):
            for column in np.arange(x + 2, x + width - 3, 5.5):
                canvas.rectangle(
                    column, row, column + 3, row + 3.6, (224, 208, 152) if g.random() < 0.5 else (88, 94, 116)
                )
        x += width + g.uniform(0.3, 2)
    canvas.rectangle(0, 48, SIZE, 53, (176, 174, 172))
    canvas.rectangle(0, 53, SIZE, SIZE, _vary(g, (86, 86, 94)))
    for x in np.arange(g.uniform(-8, 0), 64, 14):
        canvas.rectangle(x, 58, x + 7, 59.4, (240, 236, 210))


def _room(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, 48, _vary(g, (240, 216, 190)))
    x = g.uniform(4, 42)
    canvas.rectangle(x, 6, x + 18, 26, (132, 88, 60))
    canvas.rectangle(x + 1.6, 7.6, x + 8.4, 24.4, _vary(g, (166, 214, 240)))
    canvas.rectangle(x + 9.6, 7.6, x + 16.4, 24.4, _vary(g, (166, 214, 240)))
    other = (x + 34) % 56
    canvas.rectangle(other, 12, other + 9, 22, _vary(g, (192, 92, 92), 20))
    canvas.rectangle(0, 45, SIZE, 48, (250, 244, 236))
    canvas.rectangle(0, 48, SIZE, SIZE, _vary(g, (176, 118, 74)))
    for y in (53, 59):
        canvas.rectangle(0, y, SIZE, y + 0.8, (146, 94, 58))


def _garden(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 42, _vary(g, (176, 224, 250)), _vary(g, (226, 244, 252)), 4)
    for x in np.arange(g.uniform(-6, 0), 66, 9):
        canvas.polygon([(x, 42), (x, 25), (x + 3, 22), (x + 6, 25), (x + 6, 42)], (240, 240, 232))
    canvas.rectangle(0, 28, SIZE, 30.5, (240, 240, 232))
    canvas.rectangle(0, 40, SIZE, SIZE, _vary(g, (134, 206, 92)))
    for _ in range(8):
        x, y = g.uniform(1, 63), g.uniform(43, 62)
        petal = [(246, 110, 150), (252, 226, 90), (250, 250, 250), (214, 110, 230)][int(g.integers(4))]
        canvas.ellipse(x, y, 2.3, 2.0, petal)
        canvas.ellipse(x, y, 0.8, 0.8, (240, 190, 70))


def _sunset(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 56, _vary(g, (112, 62, 132)), _vary(g, (255, 158, 74)), 12)
    x = g.uniform(10, 54)
    canvas.ellipse(x, 36, 9, 9, (255, 226, 120))
    hills = [(h, 43 + 3.5 * math.sin(h / 9 + g.uniform(0, 0.6))) for h in range(0, 66, 5)]
    canvas.polygon([*hills, (64, 64), (0, 64)], _vary(g, (110, 48, 76)))
    canvas.rectangle(0, 54, SIZE, SIZE, _vary(g, (74, 34, 60)))


def _snow(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 46, _vary(g, (164, 190, 216)), _vary(g, (216, 228, 240)), 5)
    for x in (g.uniform(0, 20), g.uniform(24, 40), g.uniform(44, 64)):
        top = g.uniform(10, 22)
        canvas.polygon([(x - 20, 48), (x, top), (x + 20, 48)], _vary(g, (132, 152, 184)))
        canvas.polygon(
            [(x - 6, top + 8), (x, top), (x + 6, top + 8), (x + 2, top + 6.5), (x - 2, top + 9)], (248, 250, 255)
        )
    canvas.rectangle(0, 46, SIZE, SIZE, _vary(g, (244, 248, 255), 3))
    for _ in range(8):
        canvas.ellipse(g.uniform(0, 64), g.uniform(0, 60), 1.4, 1.4, (255, 255, 255))


def _moon(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, SIZE, _vary(g, (16, 16, 36), 3))
    for _ in range(10):
        r = g.uniform(0.7, 1.2)
        canvas.ellipse(g.uniform(0, 64), g.uniform(0, 42), r, r, (236, 236, 208))
    x = g.uniform(8, 56)
    canvas.ellipse(x, 10, 5.5, 5.5, (64, 126, 220))
    canvas.ellipse(x - 1.5, 9, 2.4, 1.8, (96, 190, 110))
    ground = [(h, 45 + 2 * math.sin(h / 10 + g.uniform(0, 0.5))) for h in range(0, 66, 5)]
    canvas.polygon([*ground, (64, 64), (0, 64)], _vary(g, (168, 168, 176)))
    for _ in range(5):
        canvas.ellipse(g.uniform(2, 62), g.uniform(49, 62), g.uniform(2, 4.5), g.uniform(0.9, 1.6), (128, 128, 138))


def _underwater(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 52, _vary(g, (72, 196, 214)), _vary(g, (14, 74, 132)), 10)
    for x in g.uniform(2, 62, 4):
        height = g.uniform(12, 22)
        canvas.line([(x + 1.6 * math.sin(k), 54 - k * height / 6) for k in range(7)], (30, 140, 92), 1.8)
    for _ in range(6):
        x, y, r = g.uniform(2, 62), g.uniform(2, 50), g.uniform(1.4, 2.4)
        canvas.ellipse(x, y, r, r, (150, 226, 240), outline=(216, 248, 255))
    canvas.rectangle(0, 52, SIZE, SIZE, _vary(g, (190, 176, 130)))


def _desert(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 36, _vary(g, (250, 226, 170)), _vary(g, (255, 244, 214)), 4)
    canvas.ellipse(g.uniform(8, 56), 9, 5.5, 5.5, (255, 250, 236))
    for base, colour in ((34, (222, 168, 92)), (44, (206, 140, 66))):
        phase = g.uniform(0, 6)
        dune = [(x, base + 3.4 * math.sin(x / 11 + phase)) for x in range(0, 68, 4)]
        canvas.polygon([*dune, (64, 64), (0, 64)], _vary(g, colour))
    x = g.uniform(6, 58)
    green = (66, 132, 70)
    canvas.line([(x, 46), (x, 26)], green, 3.2)
    canvas.line([(x, 37), (x - 4.6, 37), (x - 4.6, 30)], green, 2.2)
    canvas.line([(x, 40), (x + 4.6, 40), (x + 4.6, 33)], green, 2.2)
    canvas.rectangle(0, 53, SIZE, SIZE, _vary(g, (232, 180, 104)))


BACKDROPS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "room": _room,
    "garden": _garden,
    "sunset": _sunset,
    "snow": _snow,
    "moon": _moon,
    "underwater": _underwater,
    "desert": _desert,
}
