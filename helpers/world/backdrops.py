"""Background scenes and objects, each background with variation drawn from its own seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from helpers.world.scene import RGB, SIZE, rng

INK: RGB = (52, 40, 52)


def draw_background(pen: ImageDraw.ImageDraw, background: str, seed: int, zoom: int) -> None:
    """Fill the canvas with one of `scene.BACKGROUNDS`; the same seed draws the same picture."""
    BACKDROPS[background](Canvas(pen, zoom), rng(seed, background))


def draw_object(pen: ImageDraw.ImageDraw, name: str, x: float, ground: float, zoom: int) -> None:
    """Draw one of `scene.OBJECTS` standing on the ground at horizontal position x, in pixels."""
    canvas = Canvas(pen, zoom)
    canvas.ellipse(x, ground + 0.6, 7, 1.8, (60, 54, 60))
    THINGS[name](canvas, x, ground)


class Canvas:
    """Shapes in picture pixels, y downwards."""

    def __init__(self, pen: ImageDraw.ImageDraw, zoom: int):
        self.pen, self.zoom = pen, zoom

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: RGB) -> None:
        z = self.zoom
        self.pen.rectangle((left * z, top * z, right * z - 1, bottom * z - 1), fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB, outline: RGB | None = None) -> None:
        z = self.zoom
        self.pen.ellipse(((x - rx) * z, (y - ry) * z, (x + rx) * z, (y + ry) * z), fill=fill, outline=outline, width=3 if outline else 0)

    def polygon(self, points: list[tuple[float, float]], fill: RGB, outline: RGB | None = None) -> None:
        self.pen.polygon([(x * self.zoom, y * self.zoom) for x, y in points], fill=fill, outline=outline, width=3 if outline else 1)

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float) -> None:
        self.pen.line([(x * self.zoom, y * self.zoom) for x, y in points], fill=fill, width=max(1, round(width * self.zoom)), joint="curve")

    def bands(self, top: float, bottom: float, first: RGB, last: RGB, n: int = 10) -> None:
        """A vertical gradient in n bands."""
        edges = np.linspace(top, bottom, n + 1)
        for i in range(n):
            t = i / (n - 1)
            self.rectangle(0, edges[i], SIZE, edges[i + 1] + 0.5, tuple(round(a + (b - a) * t) for a, b in zip(first, last, strict=True)))


def vary(generator: np.random.Generator, colour: RGB, deviation: float = 6.0) -> RGB:
    """The colour, lighter or darker as a whole and a little off in hue."""
    shift = generator.normal(0, deviation)
    return tuple(int(np.clip(c + shift + generator.normal(0, deviation / 3), 0, 255)) for c in colour)


def beach(canvas: Canvas, g: np.random.Generator) -> None:
    horizon = g.uniform(26, 33)
    canvas.bands(0, horizon, vary(g, (118, 198, 246)), vary(g, (206, 236, 250)), 6)
    canvas.ellipse(g.uniform(6, 58), g.uniform(6, 13), 5, 5, (255, 240, 150))
    canvas.rectangle(0, horizon, SIZE, horizon + 14, vary(g, (40, 140, 206)))
    for _ in range(3):
        x, y = g.uniform(0, 60), horizon + g.uniform(2, 9)
        canvas.line([(x, y), (x + 7, y)], (170, 222, 244), 0.8)
    shore = [(x, horizon + 12 + 1.5 * math.sin(x / 6 + g.uniform(0, 0.4))) for x in range(0, 65, 4)]
    canvas.polygon([*shore, (64, 64), (0, 64)], vary(g, (244, 222, 164)))


def forest(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 48, vary(g, (150, 206, 150)), vary(g, (92, 158, 98)), 5)
    for x in np.arange(-2, 66, 11) + g.uniform(-3, 3, 7):
        width = g.uniform(1.4, 2.4)
        canvas.rectangle(x - width, 10, x + width, 50, vary(g, (96, 64, 42)))
    for x in np.arange(-2, 68, 9) + g.uniform(-3, 3, 8):
        canvas.ellipse(x, g.uniform(4, 13), g.uniform(7, 10), g.uniform(7, 11), vary(g, (36, 104, 54), 9))
    canvas.rectangle(0, 48, SIZE, SIZE, vary(g, (74, 122, 58)))
    for x in g.uniform(0, 64, 8):
        canvas.line([(x, 53), (x + g.uniform(-1.5, 1.5), 49)], (44, 92, 42), 0.9)


def city(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 40, vary(g, (160, 186, 214)), vary(g, (222, 224, 228)), 5)
    x = g.uniform(-6, 0)
    while x < SIZE:
        width, top = g.uniform(9, 14), g.uniform(6, 28)
        canvas.rectangle(x, top, x + width, 50, vary(g, (108, 112, 132), 12))
        for row in np.arange(top + 3, 46, 5):
            for column in np.arange(x + 2, x + width - 2, 4):
                canvas.rectangle(column, row, column + 2, row + 2.6, (250, 228, 140) if g.random() < 0.5 else (72, 80, 104))
        x += width + g.uniform(0.3, 2)
    canvas.rectangle(0, 48, SIZE, 53, (176, 174, 172))
    canvas.rectangle(0, 53, SIZE, SIZE, vary(g, (86, 86, 94)))
    for x in np.arange(g.uniform(-8, 0), 64, 14):
        canvas.rectangle(x, 58, x + 7, 59.4, (240, 236, 210))


def room(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, 48, vary(g, (240, 216, 190)))
    x = g.uniform(4, 42)
    canvas.rectangle(x, 6, x + 18, 26, (132, 88, 60))
    canvas.rectangle(x + 1.6, 7.6, x + 8.4, 24.4, vary(g, (166, 214, 240)))
    canvas.rectangle(x + 9.6, 7.6, x + 16.4, 24.4, vary(g, (166, 214, 240)))
    other = (x + 34) % 56
    canvas.rectangle(other, 12, other + 9, 22, vary(g, (192, 92, 92), 20))
    canvas.rectangle(0, 45, SIZE, 48, (250, 244, 236))
    canvas.rectangle(0, 48, SIZE, SIZE, vary(g, (176, 118, 74)))
    for y in (52, 57, 62):
        canvas.rectangle(0, y, SIZE, y + 0.8, (146, 94, 58))


def garden(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 26, vary(g, (176, 224, 250)), vary(g, (226, 244, 252)), 4)
    for x in np.arange(g.uniform(-4, 0), 66, 6):
        canvas.polygon([(x, 42), (x, 24), (x + 2, 21.5), (x + 4, 24), (x + 4, 42)], (252, 250, 244))
    canvas.rectangle(0, 28, SIZE, 30.5, (252, 250, 244))
    canvas.rectangle(0, 40, SIZE, SIZE, vary(g, (134, 206, 92)))
    for _ in range(16):
        x, y = g.uniform(1, 63), g.uniform(42, 63)
        petal = [(246, 110, 150), (252, 226, 90), (250, 250, 250), (214, 110, 230)][int(g.integers(4))]
        canvas.ellipse(x, y, 1.7, 1.7, petal)
        canvas.ellipse(x, y, 0.6, 0.6, (240, 180, 50))


def sunset(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 56, vary(g, (112, 62, 132)), vary(g, (255, 158, 74)), 12)
    x = g.uniform(10, 54)
    canvas.ellipse(x, 36, 9, 9, (255, 226, 120))
    hills = [(h, 43 + 3.5 * math.sin(h / 9 + g.uniform(0, 0.6))) for h in range(0, 66, 5)]
    canvas.polygon([*hills, (64, 64), (0, 64)], vary(g, (110, 48, 76)))
    canvas.rectangle(0, 54, SIZE, SIZE, vary(g, (74, 34, 60)))


def snow(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 46, vary(g, (164, 190, 216)), vary(g, (216, 228, 240)), 5)
    for x in (g.uniform(0, 20), g.uniform(24, 40), g.uniform(44, 64)):
        top = g.uniform(10, 22)
        canvas.polygon([(x - 20, 48), (x, top), (x + 20, 48)], vary(g, (132, 152, 184)))
        canvas.polygon([(x - 6, top + 8), (x, top), (x + 6, top + 8), (x + 2, top + 6.5), (x - 2, top + 9)], (248, 250, 255))
    canvas.rectangle(0, 46, SIZE, SIZE, vary(g, (244, 248, 255), 3))
    for _ in range(18):
        canvas.ellipse(g.uniform(0, 64), g.uniform(0, 60), 1.0, 1.0, (255, 255, 255))


def moon(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, SIZE, vary(g, (16, 16, 36), 3))
    for _ in range(22):
        r = g.uniform(0.4, 0.9)
        canvas.ellipse(g.uniform(0, 64), g.uniform(0, 42), r, r, (250, 250, 220))
    x = g.uniform(8, 56)
    canvas.ellipse(x, 10, 5.5, 5.5, (64, 126, 220))
    canvas.ellipse(x - 1.5, 9, 2.4, 1.8, (96, 190, 110))
    ground = [(h, 45 + 2 * math.sin(h / 10 + g.uniform(0, 0.5))) for h in range(0, 66, 5)]
    canvas.polygon([*ground, (64, 64), (0, 64)], vary(g, (168, 168, 176)))
    for _ in range(5):
        canvas.ellipse(g.uniform(2, 62), g.uniform(49, 62), g.uniform(2, 4.5), g.uniform(0.9, 1.6), (128, 128, 138))


def underwater(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 52, vary(g, (72, 196, 214)), vary(g, (14, 74, 132)), 10)
    for x in g.uniform(2, 62, 4):
        height = g.uniform(12, 22)
        canvas.line([(x + 1.6 * math.sin(k), 54 - k * height / 6) for k in range(7)], (30, 140, 92), 1.8)
    for _ in range(10):
        x, y, r = g.uniform(2, 62), g.uniform(2, 50), g.uniform(0.8, 2.0)
        canvas.ellipse(x, y, r, r, (150, 226, 240), outline=(216, 248, 255))
    canvas.rectangle(0, 52, SIZE, SIZE, vary(g, (190, 176, 130)))


def desert(canvas: Canvas, g: np.random.Generator) -> None:
    canvas.bands(0, 36, vary(g, (250, 226, 170)), vary(g, (255, 244, 214)), 4)
    canvas.ellipse(g.uniform(8, 56), 9, 5.5, 5.5, (255, 250, 236))
    for base, colour in ((34, (222, 168, 92)), (44, (206, 140, 66))):
        phase = g.uniform(0, 6)
        dune = [(x, base + 3.4 * math.sin(x / 11 + phase)) for x in range(0, 68, 4)]
        canvas.polygon([*dune, (64, 64), (0, 64)], vary(g, colour))
    x = g.uniform(6, 58)
    green = (66, 132, 70)
    canvas.line([(x, 46), (x, 26)], green, 3.2)
    canvas.line([(x, 37), (x - 4.6, 37), (x - 4.6, 30)], green, 2.2)
    canvas.line([(x, 40), (x + 4.6, 40), (x + 4.6, 33)], green, 2.2)
    canvas.rectangle(0, 53, SIZE, SIZE, vary(g, (232, 180, 104)))


def ball(canvas: Canvas, x: float, ground: float) -> None:
    canvas.ellipse(x, ground - 6, 6.4, 6.4, (232, 52, 60), outline=INK)
    canvas.polygon([(x - 3, ground - 11), (x + 3, ground - 11), (x + 1.6, ground - 1.2), (x - 1.6, ground - 1.2)], (252, 250, 246))
    canvas.ellipse(x, ground - 11, 2.0, 1.2, (60, 120, 220))


def box(canvas: Canvas, x: float, ground: float) -> None:
    canvas.polygon([(x - 6.4, ground), (x - 6.4, ground - 11), (x + 6.4, ground - 11), (x + 6.4, ground)], (182, 132, 78), outline=INK)
    canvas.rectangle(x - 1.3, ground - 10.4, x + 1.3, ground - 0.6, (236, 212, 160))
    canvas.line([(x - 6, ground - 7.6), (x + 6, ground - 7.6)], (128, 86, 48), 0.9)


def cat(canvas: Canvas, x: float, ground: float) -> None:
    grey = (116, 112, 124)
    canvas.line([(x + 4, ground - 2), (x + 7.4, ground - 5), (x + 6.6, ground - 10)], grey, 2)
    canvas.ellipse(x, ground - 4, 5.2, 4.4, grey, outline=INK)
    for side in (-1, 1):
        canvas.polygon([(x + side * 4.6, ground - 10), (x + side * 4.4, ground - 16), (x + side * 0.8, ground - 13)], grey, outline=INK)
    canvas.ellipse(x, ground - 10, 5.2, 4.4, grey, outline=INK)
    for side in (-1, 1):
        canvas.ellipse(x + side * 2.1, ground - 10.4, 1.1, 1.3, (250, 226, 90))
    canvas.ellipse(x, ground - 8.4, 0.8, 0.6, (250, 150, 160))


def plant(canvas: Canvas, x: float, ground: float) -> None:
    for dx, dy in ((-5, 13), (5, 13), (-2.5, 17), (2.5, 17), (0, 14)):
        canvas.line([(x, ground - 6), (x + dx, ground - dy)], (40, 134, 62), 2.6)
        canvas.ellipse(x + dx, ground - dy, 2.4, 2.4, (64, 176, 82))
    canvas.polygon([(x - 5, ground - 7), (x + 5, ground - 7), (x + 3.6, ground), (x - 3.6, ground)], (206, 104, 66), outline=INK)


def lamp(canvas: Canvas, x: float, ground: float) -> None:
    canvas.line([(x, ground - 1), (x, ground - 15)], (70, 70, 84), 1.8)
    canvas.ellipse(x, ground - 0.8, 4, 1.4, (70, 70, 84))
    canvas.polygon([(x - 3, ground - 22), (x + 3, ground - 22), (x + 6.4, ground - 13.5), (x - 6.4, ground - 13.5)], (255, 232, 120), outline=INK)


def star(canvas: Canvas, x: float, ground: float) -> None:
    points = []
    for i in range(10):
        r = 8.2 if i % 2 == 0 else 3.8
        turn = -math.pi / 2 + i * math.pi / 5
        points.append((x + r * math.cos(turn), ground - 8 + r * math.sin(turn)))
    canvas.polygon(points, (255, 206, 50), outline=INK)
    for side in (-1, 1):
        canvas.ellipse(x + side * 1.7, ground - 8.4, 0.7, 1.1, INK)


BACKDROPS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "beach": beach, "forest": forest, "city": city, "room": room, "garden": garden, "sunset": sunset, "snow": snow,
    "moon": moon, "underwater": underwater, "desert": desert,
}  # fmt: skip
THINGS: dict[str, Callable[[Canvas, float, float], None]] = {
    "ball": ball, "box": box, "cat": cat, "plant": plant, "lamp": lamp, "star": star,
}  # fmt: skip
