"""Art styles: what happens to a finished picture. Watercolour never occurs in training pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from helpers.world.scene import SIZE, rng


def apply_style(picture: Image.Image, art_style: str, seed: int) -> Image.Image:
    """The picture in one of `scene.ART_STYLES`; the seed varies the brush."""
    if art_style == "illustration":
        return picture
    pixels = STYLES[art_style](picture, seed)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def edges(picture: Image.Image) -> np.ndarray:
    """Strength of the outlines [64, 64], 0 to 1."""
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    padded = np.pad(grey, 1, mode="edge")
    down, right = padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]
    return np.clip(np.hypot(down, right) * 1.6, 0, 1)


def sketch(picture: Image.Image, seed: int) -> np.ndarray:
    """Graphite on paper: dark outlines, soft shadows, no colour."""
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    tone = 1.0 - 0.72 * np.clip(edges(picture) - 0.1, 0, 1) - 0.26 * (1 - grey)
    paper = rng(seed, "sketch").uniform(238, 250)
    return np.clip(tone, 0, 1)[:, :, np.newaxis] * np.array([paper, paper - 3, paper - 10], np.float32)


def oil(picture: Image.Image, seed: int) -> np.ndarray:
    """Broad strokes: flattened patches, a ridge of paint along them, a warm varnish."""
    pixels = np.asarray(picture.filter(ImageFilter.MedianFilter(3)), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    phase = rng(seed, "oil").uniform(0, 6.28)
    ridge = 9 * np.sin(x * 0.42 + 2.2 * np.sin(y * 0.14 + phase) + y * 0.6)
    return (pixels + ridge[:, :, np.newaxis]) * np.array([1.0, 0.91, 0.74], np.float32) + np.array(
        [10, 4, 0], np.float32
    )


def pixel(picture: Image.Image, seed: int) -> np.ndarray:
    """Blocks of 2x2 pixels in six levels a channel."""
    small = np.asarray(picture.reduce(2), np.float32)
    levels = np.round(small / 255 * 5) / 5 * 255
    return levels.repeat(2, 0).repeat(2, 1)


def watercolour(picture: Image.Image, seed: int) -> np.ndarray:
    """Pale washes that run into each other on white paper."""
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.1)), np.float32)
    coarse = rng(seed, "watercolour").normal(0, 1, (9, 9)).astype(np.float32)
    blots = np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    wash = 0.55 + 0.1 * blots[:, :, np.newaxis]
    return 255 - (255 - pixels) * np.clip(wash, 0.2, 0.85)


STYLES = {"sketch": sketch, "oil": oil, "pixel": pixel, "watercolour": watercolour}
