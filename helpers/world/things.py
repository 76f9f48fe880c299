"""Objects that stand beside a character."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import ImageDraw

from helpers.world.canvas import Canvas
from helpers.world.scene import RGB

INK: RGB = (98, 76, 84)


def draw_object(pen: ImageDraw.ImageDraw, name: str, x: float, ground: float, zoom: int) -> None:
    """Draw one of `scene.OBJECTS` standing on the ground at horizontal position x, in pixels."""
    canvas = Canvas(pen, zoom)
    canvas.ellipse(x, ground + 0.6, 7, 1.8, (60, 54, 60))
    THINGS[name](canvas, x, ground)


def _ball(canvas: Canvas, x: float, ground: float) -> None:
    canvas.ellipse(x, ground - 6, 6.4, 6.4, (232, 52, 60), outline=INK)
    canvas.polygon(
        [(x - 3, ground - 11), (x + 3, ground - 11), (x + 1.6, ground - 1.2), (x - 1.6, ground - 1.2)], (252, 250, 246)
    )
    canvas.ellipse(x, ground - 11, 2.0, 1.2, (60, 120, 220))


def _box(canvas: Canvas, x: float, ground: float) -> None:
    canvas.polygon(
        [(x - 6.4, ground), (x - 6.4, ground - 11), (x + 6.4, ground - 11), (x + 6.4, ground)],
        (182, 132, 78),
        outline=INK,
    )
    canvas.rectangle(x - 1.3, ground - 10.4, x + 1.3, ground - 0.6, (236, 212, 160))
    canvas.line([(x - 6, ground - 7.6), (x + 6, ground - 7.6)], (128, 86, 48), 0.9)


def _cat(canvas: Canvas, x: float, ground: float) -> None:
    grey = (116, 112, 124)
    canvas.line([(x + 4, ground - 2), (x + 7.4, ground - 5), (x + 6.6, ground - 10)], grey, 2)
    canvas.ellipse(x, ground - 4, 5.2, 4.4, grey, outline=INK)
    for side in (-1, 1):
        canvas.polygon(
            [(x + side * 4.6, ground - 10), (x + side * 4.4, ground - 16), (x + side * 0.8, ground - 13)],
            grey,
            outline=INK,
        )
    canvas.ellipse(x, ground - 10, 5.2, 4.4, grey, outline=INK)
    for side in (-1, 1):
        canvas.ellipse(x + side * 2.1, ground - 10.4, 1.1, 1.3, (250, 226, 90))
    canvas.ellipse(x, ground - 8.4, 0.8, 0.6, (250, 150, 160))


def _plant(canvas: Canvas, x: float, ground: float) -> None:
    for dx, dy in ((-5, 13), (5, 13), (-2.5, 17), (2.5, 17), (0, 14)):
        canvas.line([(x, ground - 6), (x + dx, ground - dy)], (40, 134, 62), 2.6)
        canvas.ellipse(x + dx, ground - dy, 2.4, 2.4, (64, 176, 82))
    canvas.polygon(
        [(x - 5, ground - 7), (x + 5, ground - 7), (x + 3.6, ground), (x - 3.6, ground)], (206, 104, 66), outline=INK
    )


def _lamp(canvas: Canvas, x: float, ground: float) -> None:
    canvas.line([(x, ground - 1), (x, ground - 15)], (70, 70, 84), 1.8)
    canvas.ellipse(x, ground - 0.8, 4, 1.4, (70, 70, 84))
    canvas.polygon(
        [(x - 3, ground - 22), (x + 3, ground - 22), (x + 6.4, ground - 13.5), (x - 6.4, ground - 13.5)],
        (255, 232, 120),
        outline=INK,
    )


def _star(canvas: Canvas, x: float, ground: float) -> None:
    points = []
    for i in range(10):
        r = 8.2 if i % 2 == 0 else 3.8
        turn = -math.pi / 2 + i * math.pi / 5
        points.append((x + r * math.cos(turn), ground - 8 + r * math.sin(turn)))
    canvas.polygon(points, (255, 206, 50), outline=INK)
    for side in (-1, 1):
        canvas.ellipse(x + side * 1.7, ground - 8.4, 0.7, 1.1, INK)


THINGS: dict[str, Callable[[Canvas, float, float], None]] = {
    "ball": _ball,
    "box": _box,
    "cat": _cat,
    "plant": _plant,
    "lamp": _lamp,
    "star": _star,
}
