"""Shapes in a figure's own coordinates."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from helpers.world.scene import RGB, Figure

ZOOM = 4  # supersampling factor
GROUND = 58.0  # pixels from the top: where feet stand
DARKER: RGB = (-1, -1, -1)  # an outline in a darker tone of its fill: softer than black, and kinder to the VAE
LID: RGB = (60, 44, 58)  # eyelids and other fine dark lines


def shade(colour: RGB, factor: float) -> RGB:
    """The colour darkened (factor < 1) or lightened (> 1)."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)
    return tuple(round(255 - (255 - c) / factor) for c in colour)


class Pen:
    """Shapes in a figure's own coordinates: x to the right of its axis, y up from its feet, in its own pixels."""

    def __init__(self, layer: Image.Image, figure: Figure) -> None:
        self.draw = ImageDraw.Draw(layer)
        self.unit = figure.scale * ZOOM
        self.x, self.y = figure.x * ZOOM, (GROUND - figure.lift) * ZOOM
        self.line_width = max(2, round(0.7 * self.unit))

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Canvas coordinates of a point of the figure."""
        return self.x + x * self.unit, self.y - y * self.unit

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB, outline: RGB | None = DARKER) -> None:
        """A filled ellipse, outlined unless `outline` is None."""
        outline = shade(fill, 0.58) if outline == DARKER else outline
        left, top = self.point(x - rx, y + ry)
        right, bottom = self.point(x + rx, y - ry)
        self.draw.ellipse(
            (left, top, right, bottom), fill=fill, outline=outline, width=self.line_width if outline else 0
        )

    def polygon(self, points: list[tuple[float, float]], fill: RGB, outline: RGB | None = DARKER) -> None:
        """A filled polygon, outlined unless `outline` is None."""
        outline = shade(fill, 0.58) if outline == DARKER else outline
        corners = [self.point(*p) for p in points]
        self.draw.polygon(corners, fill=fill)
        if outline:
            self.draw.line([*corners, corners[0]], fill=outline, width=self.line_width, joint="curve")

    def stroke(self, points: list[tuple[float, float]], fill: RGB, width: float = 0.8) -> None:
        """An open line."""
        self.draw.line(
            [self.point(*p) for p in points], fill=fill, width=max(1, round(width * self.unit)), joint="curve"
        )

    def limb(self, start: tuple[float, float], end: tuple[float, float], width: float, fill: RGB) -> None:
        """A thick line with round ends."""
        for extra, colour in ((1.4, shade(fill, 0.58)), (0.0, fill)):
            radius = (width + extra) / 2
            self.stroke([start, end], colour, width + extra)
            for x, y in (start, end):
                self.ellipse(x, y, radius, radius, colour, outline=None)

    def star(self, x: float, y: float, radius: float, fill: RGB, outline: RGB | None = None, points: int = 5) -> None:
        """A star with its first point up."""
        corners = []
        for i in range(2 * points):
            r = radius if i % 2 == 0 else radius * 0.45
            angle = math.pi / 2 + i * math.pi / points
            corners.append((x + r * math.cos(angle), y + r * math.sin(angle)))
        self.polygon(corners, fill, outline)
