"""The reader: a small CNN that reads a picture's factors back, with a confidence, and abstains when unsure.

It is the measuring instrument of everything claimed on chibi. Slot 0 is the only character or the left
one, slot 1 the right one of two.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.config import InputError
from helpers.world import scene as w
from helpers.world.scene import Scene

SLOTS = 2
PICTURE_CLASSES = {
    "background": list(w.BACKGROUNDS),
    "object": list(w.OBJECTS),
    "art_style": list(w.ART_STYLES),
    "count": [0, 1, 2],
}
SLOT_CLASSES = {
    "hair_style": list(w.HAIR_STYLES),
    "eye_shape": list(w.EYE_SHAPES),
    "garment": list(w.GARMENTS),
    "pattern": list(w.PATTERNS),
    "emblem": list(w.EMBLEMS),
    "accessory": list(w.ACCESSORIES),
}
SLOT_NUMBERS = {
    "hair_colour": 3,
    "eye_left": 3,
    "eye_right": 3,
    "skin": 3,
    "garment_colour": 3,
    "pose": 4,
    "x": 1,
    "lift": 1,
    "scale": 1,
}
UNITS = {"pose": 90.0, "x": 64.0, "lift": 16.0, "scale": 1.0}  # a number's unit in the network; colours: 255
COLOURLESS = ("sketch",)
CONFIDENT = 0.6  # a class, or that there is a character, read with less probability than this is an abstention
UNSURE = {"pose": 30.0, "x": 6.0, "lift": 6.0, "scale": 0.2}  # expected error of a number that is one; colours: 40


class Reader(nn.Module):
    """Attention maps of each thing to read pool a 16x16 grid of features; a small head reads what they gather."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        a, b, c = width, 2 * width, 3 * width
        self.stem = nn.Sequential(nn.Conv2d(3, a, 4, 2, 1), Residual(a))
        self.down = nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), Residual(b))
        self.deep = nn.Sequential(nn.Conv2d(b, c, 4, 2, 1), Residual(c), nn.Conv2d(c, c, 4, 2, 1), Residual(c))
        self.merge = nn.Sequential(nn.Conv2d(b + c + 2, c, 1), Residual(c))
        self.fine, self.coarse = nn.Conv2d(a, a, 1), nn.Conv2d(c, a, 1)
        self.mask = nn.Sequential(nn.SiLU(), nn.Conv2d(a, 4 * SLOTS, 3, 1, 1), nn.PixelShuffle(2))
        self.maps = {key: 4 if key.startswith(("pose", "hair_style")) else 2 for key in outputs()}  # shapes need more
        self.attention = nn.Conv2d(c, sum(self.maps.values()), 1)
        self.heads = nn.ModuleDict(
            {
                key: nn.Sequential(nn.Linear((self.maps[key] + 1) * c, 72), nn.SiLU(), nn.Linear(72, n))
                for key, n in outputs().items()
            }
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """[n, 3, 64, 64] in [-1, 1] to raw outputs [n, ...] by name, and "mask" logits [n, 2, 64, 64]."""
        fine = self.stem(pictures)
        middle = self.down(fine)
        deep = self.deep(middle)
        grid = torch.linspace(-1, 1, 16, device=pictures.device, dtype=middle.dtype)
        place = torch.stack(torch.meshgrid(grid, grid, indexing="ij")).expand(len(pictures), -1, -1, -1)
        features = self.merge(torch.cat([middle, F.interpolate(deep, scale_factor=4.0), place], 1))
        weights = self.attention(features).flatten(2).softmax(-1)  # [n, maps, 256]
        pooled = weights @ features.flatten(2).transpose(1, 2)  # [n, maps, c]
        overall = deep.mean((2, 3))
        gathered = pooled.split(list(self.maps.values()), 1)
        out = {
            key: head(torch.cat([part.flatten(1), overall], 1))
            for (key, head), part in zip(self.heads.items(), gathered, strict=True)
        }
        out["mask"] = self.mask(self.fine(fine) + F.interpolate(self.coarse(features), scale_factor=2.0))
        return out


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] to the same shape."""
        return x + self.body(x)


def outputs() -> dict[str, int]:
    """Length of every output: logits of a class, or values and log-deviations of a number."""
    sizes = {name: len(values) for name, values in PICTURE_CLASSES.items()}
    for slot in range(SLOTS):
        sizes |= {f"{name}_{slot}": len(values) for name, values in SLOT_CLASSES.items()}
        sizes |= {f"{name}_{slot}": 2 * n for name, n in SLOT_NUMBERS.items()}
    return sizes


def targets(scene: Scene) -> dict[str, np.ndarray]:
    """What the reader should say of a scene: class indices (-1: not to be read) and numbers in the network's
    units (NaN: not to be read)."""
    truth: dict[str, np.ndarray] = {
        "background": np.int64(PICTURE_CLASSES["background"].index(scene.background)),
        "object": np.int64(PICTURE_CLASSES["object"].index(scene.object)),
        "art_style": np.int64(PICTURE_CLASSES["art_style"].index(scene.art_style)),
        "count": np.int64(len(scene.figures)),
    }
    figures = sorted(scene.figures, key=lambda figure: figure.x)
    for slot in range(SLOTS):
        figure = figures[slot] if slot < len(figures) else None
        for name, values in SLOT_CLASSES.items():
            truth[f"{name}_{slot}"] = np.int64(values.index(getattr(figure.character, name)) if figure else -1)
        for name, n in SLOT_NUMBERS.items():
            colour = name not in UNITS
            value = (
                None
                if figure is None or (colour and scene.art_style in COLOURLESS)
                else getattr(figure.character if colour else figure, name)
            )
            truth[f"{name}_{slot}"] = (
                np.full(n, np.nan, np.float32)
                if value is None
                else np.atleast_1d(np.float32(value)) / UNITS.get(name, 255.0)
            )
    return truth


def to_batch(pictures: np.ndarray, device: torch.device) -> Tensor:
    """uint8 pictures [n, 64, 64, 3] as a float batch [n, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def read(reader: Reader, pictures: np.ndarray, batch: int = 256) -> dict[str, np.ndarray]:
    """Readings of uint8 pictures [n, 64, 64, 3], one array a name.

    Classes: "hair_style_0" (object array; None where the reader abstains) and "hair_style_0_confidence".
    Numbers: "hair_colour_0" [n, 3] in natural units (RGB 0 to 255, degrees, pixels; NaN where the reader abstains)
    and "..._deviation" [n, 3], the expected absolute error. "mask": foreground probability of each slot
    [n, 2, 64, 64], float32. Of a character that is not there nothing is read, and no colours of a colourless style.
    """
    device = next(reader.parameters()).device
    parts = []
    for i in range(0, len(pictures), batch):
        out = reader(to_batch(pictures[i : i + batch], device))
        parts.append({key: value.float().cpu() for key, value in out.items()})
    raw = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    readings: dict[str, np.ndarray] = {"mask": raw["mask"].sigmoid().numpy()}
    classes = PICTURE_CLASSES | {
        f"{name}_{slot}": values for slot in range(SLOTS) for name, values in SLOT_CLASSES.items()
    }
    there = {slot: (raw["count"].softmax(-1)[:, slot + 1 :].sum(-1) >= CONFIDENT).numpy() for slot in range(SLOTS)}
    for name, values in classes.items():
        confidence, index = raw[name].softmax(-1).max(-1)
        readings[f"{name}_confidence"] = confidence.numpy()
        named = np.array(values, object)[index.numpy()]
        seen = True if name in PICTURE_CLASSES else there[int(name[-1])]
        readings[name] = np.where((confidence.numpy() >= CONFIDENT) & seen, named, None)
    for slot in range(SLOTS):
        for name, n in SLOT_NUMBERS.items():
            values = raw[f"{name}_{slot}"].numpy() * UNITS.get(name, 255.0)
            deviation = np.exp(values[:, n:] / UNITS.get(name, 255.0)) * UNITS.get(name, 255.0)
            seen = there[slot] & (deviation.mean(1) <= UNSURE.get(name, 40.0))
            if name not in UNITS:
                seen &= ~np.isin(readings["art_style"].astype(str), COLOURLESS)
            readings[f"{name}_{slot}"] = np.where(seen[:, None], values[:, :n], np.nan)
            readings[f"{name}_{slot}_deviation"] = deviation
    return readings


def load_reader(folder: Path, device: str = "cpu") -> Reader:
    """The reader saved in `folder` (config.json, model.safetensors).

    Raises InputError if it is not there.
    """
    if not (folder / "model.safetensors").exists():
        raise InputError(f"no reader in {folder}: run `make world`, or check out data/chibi.")
    reader = Reader(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    reader.load_state_dict({key: value.float() for key, value in load_file(folder / "model.safetensors").items()})
    return reader.to(device).eval().requires_grad_(False)
