"""Train the CLIP that conditions the UNet: pictures, captions and scenes, contrasted in pairs.

A first CLIP of pictures and captions alone (1,000 steps of 160) named 0.24 of hair styles and 0.31 of poses: its
picture tower could not see them, so its text tower had nothing to learn the words from, and the UNet follows a word
only as far as this CLIP knows it. Here the scene a picture was drawn from is a third view of it, read by a tower of its
own (as in ImageBind, arXiv 2305.05665, one modality teaches the others). That tower is thrown away.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel

from helpers.world import scene as w
from helpers.world.fit import Fitted, fit
from helpers.world.nearmiss import near_misses
from helpers.world.networks import make_clip
from helpers.world.reader import PICTURE_CLASSES, SLOT_CLASSES
from helpers.world.rendered import CAPTIONS, load
from helpers.world.sampling import training_scene
from helpers.world.scene import rng
from helpers.world.stages import Site, seeded, to_input
from helpers.world.vocabulary import make_tokenizer

NEAR_MISSES = 2  # of each caption


def train_clip(site: Site) -> tuple[CLIPModel, Fitted]:
    """The symmetric contrastive loss of CLIP (arXiv 2103.00020, figure 3) between pictures, captions and scenes;
    captions also against their near misses."""
    steps, size = site.preset.clip
    n = site.preset.training
    clip = seeded(site, "clip", make_clip, make_tokenizer())
    pictures, tokens = load(site.data, "training", n), load(site.data, "tokens", n)
    scenes = torch.from_numpy(np.stack([scene_features(training_scene(i)) for i in range(n)]))
    tower = seeded(site, "scene tower", make_scene_tower, scenes.shape[1], clip.config.projection_dim)

    def loss(step: int) -> Tensor:
        rows = site.choice("clip", step, n, size)
        columns = site.choice("clip caption", step, CAPTIONS, size)
        ids = trim(torch.from_numpy(tokens[rows, columns].astype(np.int64)), make_end(tokens))
        missed = near_misses(ids, NEAR_MISSES, rng(site.preset.seed, "clip near misses", step))
        repeated = (ids[:, None] == missed[None]).all(-1).to(site.device)
        with site.autocast():
            texts = clip.get_text_features(input_ids=torch.cat([ids, missed]).to(site.device)).pooler_output
            images = clip.get_image_features(pixel_values=to_input(site, pictures[rows])).pooler_output
            drawn = tower(scenes[rows].to(site.device))
        texts, images, drawn = (F.normalize(vectors.float(), dim=1) for vectors in (texts, images, drawn))
        total = contrastive(clip.logit_scale.exp() * images @ drawn.T)
        for seen in (images, drawn):
            logits = clip.logit_scale.exp() * seen @ texts.T
            total = total + contrastive(logits[:, :size], logits[:, size:].masked_fill(repeated, -1e4))
        return total / 3

    both = nn.ModuleDict({"clip": clip, "scenes": tower})
    fitted = fit(**site.checkpoint("clip"), module=both, loss=loss, steps=steps, learning_rate=1e-3, weight_decay=0.05)
    return clip, dataclasses.replace(fitted, parameters=sum(p.numel() for p in clip.parameters()))


def contrastive(logits: Tensor, missed: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of pictures among texts and texts among pictures.

    Args:
        logits: [n, n], of each picture with each text.
        missed: [n, m], of each picture with m more texts, of which none is its own.
    """
    target = torch.arange(len(logits), device=logits.device)
    among = logits if missed is None else torch.cat([logits, missed], 1)
    return (F.cross_entropy(logits.T, target) + F.cross_entropy(among, target)) / 2


def make_scene_tower(features: int, width: int) -> nn.Module:
    """From `scene_features` to the space of pictures and captions."""
    hidden = 512
    return nn.Sequential(
        nn.Linear(features, hidden), nn.GELU(), nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(),
        nn.LayerNorm(hidden), nn.Linear(hidden, width),
    )  # fmt: skip


def scene_features(scene: w.Scene) -> np.ndarray:
    """What a scene shows, as numbers between 0 and 1, float32: classes as one or zero, colours, poses and places as
    how near they are to the usual ones. Names are not among them: nothing in a picture says them."""
    parts = [one_hot(getattr(scene, name), PICTURE_CLASSES[name]) for name in ("background", "object", "art_style")]
    figures = [figure_features(figure) for figure in scene.figures]
    length = sum(map(len, SLOT_CLASSES.values())) + sum(map(len, COLOURS.values())) + len(w.POSES) + len(w.PLACES) + 3
    return np.concatenate([*parts, *figures, np.zeros(length * (2 - len(figures)))]).astype(np.float32)


def figure_features(figure: w.Figure) -> np.ndarray:
    """The part of `scene_features` that is about one figure; of nobody it would be zeros."""
    parts = [one_hot(getattr(figure.character, name), values) for name, values in SLOT_CLASSES.items()]
    for attribute, palette in COLOURS.items():
        colour = getattr(figure.character, attribute)
        parts.append([nearness(math.dist(colour, usual), 40) for usual in palette.values()])
    angles = [max(abs(a - b) for a, b in zip(figure.pose, usual, strict=True)) for usual in w.POSES.values()]
    parts.append([nearness(angle, 20) for angle in angles])
    parts.append([nearness(figure.x - x, 6) for x in w.PLACES.values()])
    parts.append([1.0, nearness(figure.scale - 0.8, 0.08), nearness(figure.scale - 1.14, 0.08)])
    return np.concatenate(parts)


COLOURS = {
    "hair_colour": w.COLOURS,
    "eye_left": w.EYE_COLOURS,
    "eye_right": w.EYE_COLOURS,
    "skin": w.SKINS,
    "garment_colour": w.COLOURS,
}


def one_hot(value: str, values: list[str]) -> list[float]:
    """1 where the value is, else 0."""
    return [float(value == other) for other in values]


def nearness(distance: float, unit: float) -> float:
    """1 at no distance, 0.6 at a unit, 0.01 at three."""
    return math.exp(-0.5 * (distance / unit) ** 2)


def make_end(tokens: np.ndarray) -> int:
    """The end-of-text id: what every caption is padded with."""
    return int(tokens.max())


def trim(ids: Tensor, end: int) -> Tensor:
    """Cut a batch of token ids after its longest caption; CLIP's causal text tower does not notice."""
    return ids[:, : int((ids != end).sum(1).max()) + 1]
