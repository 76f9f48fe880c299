"""Shapes in picture pixels on a canvas that is drawn larger and reduced later."""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from helpers.world.scene import RGB, SIZE


class Canvas:
    """Shapes in picture pixels, y downwards."""

    def __init__(self, pen: ImageDraw.ImageDraw, zoom: int) -> None:
        self.pen, self.zoom = pen, zoom

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: RGB) -> None:
        """A filled rectangle."""
        z = self.zoom
        self.pen.rectangle((left * z, top * z, right * z - 1, bottom * z - 1), fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB, outline: RGB | None = None) -> None:
        """A filled ellipse around (x, y), with an outline if one is given."""
        z = self.zoom
        self.pen.ellipse(
            ((x - rx) * z, (y - ry) * z, (x + rx) * z, (y + ry) * z),
            fill=fill,
            outline=outline,
            width=3 if outline else 0,
        )

    def polygon(self, points: list[tuple[float, float]], fill: RGB, outline: RGB | None = None) -> None:
        """A filled polygon, with an outline if one is given."""
        self.pen.polygon(
            [(x * self.zoom, y * self.zoom) for x, y in points], fill=fill, outline=outline, width=3 if outline else 1
        )

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float) -> None:
        """A line of `width` pixels."""
        self.pen.line(
            [(x * self.zoom, y * self.zoom) for x, y in points],
            fill=fill,
            width=max(1, round(width * self.zoom)),
            joint="curve",
        )

    def bands(self, top: float, bottom: float, first: RGB, last: RGB, n: int = 10) -> None:
        """A vertical gradient in n bands."""
        edges = np.linspace(top, bottom, n + 1)
        for i in range(n):
            t = i / (n - 1)
            self.rectangle(
                0,
                edges[i],
                SIZE,
                edges[i + 1] + 0.5,
                tuple(round(a + (b - a) * t) for a, b in zip(first, last, strict=True)),
            )
