"""Draw a Scene: 64x64 RGB with Pillow, antialiased by supersampling, deterministic."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from helpers.world.backdrops import draw_background
from helpers.world.figure import draw_figure
from helpers.world.pen import GROUND, ZOOM
from helpers.world.scene import SIZE, Scene
from helpers.world.styles import apply_style
from helpers.world.things import draw_object


def draw(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Picture [64, 64, 3] and one foreground mask a figure [n, 64, 64], both uint8 (masks 0 to 255).

    A figure in front hides the ones behind: masks hold what is visible.
    """
    canvas = Image.new("RGB", (SIZE * ZOOM, SIZE * ZOOM))
    pen = ImageDraw.Draw(canvas)
    draw_background(pen, scene.background, scene.background_seed, ZOOM)
    if scene.object != "none":
        draw_object(pen, scene.object, scene.object_x, GROUND, ZOOM)
    picture = canvas.reduce(ZOOM)
    masks = []
    for figure in reversed(scene.figures):
        layer = Image.new("RGBA", canvas.size)
        draw_figure(layer, figure)
        layer = layer.reduce(ZOOM)
        picture.paste(layer, mask=layer.getchannel("A"))
        alpha = np.asarray(layer.getchannel("A"))
        masks = [alpha] + [np.minimum(mask, 255 - alpha) for mask in masks]
    picture = apply_style(picture, scene.art_style, scene.background_seed)
    return np.asarray(picture), np.stack(masks) if masks else np.zeros((0, SIZE, SIZE), np.uint8)
