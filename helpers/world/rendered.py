"""The rendered training sets on disk: shards of pictures, captions as token ids, masks; resumable."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from helpers.world.captions import caption
from helpers.world.draw import draw
from helpers.world.population import training_scene, wide_scene
from helpers.world.scene import SIZE, rng

log = logging.getLogger(__name__)
SHARD = 2000  # pictures a file
CAPTIONS = 6  # captions written for each picture


def render_all(*, folder: Path, training: int, wide: int, tokenizer: PreTrainedTokenizerBase, workers: int) -> None:
    """Render what is missing of `training` captioned pictures and `wide` pictures with masks."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(kind, i) for kind, n in (("training", training), ("wide", wide)) for i in range(0, n, SHARD)]
    jobs = [(kind, i) for kind, i in jobs if not _shard_path(folder, kind, i).exists()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, (kind, first, texts) in enumerate(pool.map(partial(render_shard, folder), jobs), start=1):
            if kind == "training":
                ids = tokenizer(texts, padding="max_length", truncation=True).input_ids
                _save(_tokens_path(folder, first), np.asarray(ids, np.int16).reshape(SHARD, CAPTIONS, -1))
            os.replace(_shard_path(folder, kind, first).with_suffix(".drawn"), _shard_path(folder, kind, first))
            if done % 5 == 0 or done == len(jobs):
                log.info("drawing: shard %d of %d", done, len(jobs))


def render_shard(folder: Path, job: tuple[str, int]) -> tuple[str, int, list[str]]:
    """Draw one shard beside its final name and return its captions."""
    kind, first = job
    pictures, masks, texts = np.empty((SHARD, SIZE, SIZE, 3), np.uint8), np.zeros((SHARD, 2, SIZE, SIZE), np.uint8), []
    for i in range(SHARD):
        scene = training_scene(first + i) if kind == "training" else wide_scene(first + i)
        pictures[i], drawn = draw(scene)
        for slot, figure in enumerate(sorted(range(len(scene.figures)), key=lambda k: scene.figures[k].x)):
            masks[i, slot] = drawn[figure]
        if kind == "training":
            texts += [caption(scene, rng(0, "caption", CAPTIONS * (first + i) + k)) for k in range(CAPTIONS)]
    if kind == "wide":
        _save(_masks_path(folder, first), masks)
    _save(_shard_path(folder, kind, first).with_suffix(".drawn"), pictures)
    return kind, first, texts


def _shard_path(folder: Path, kind: str, first: int) -> Path:
    return folder / f"{kind}_{first:06d}.npy"


def _tokens_path(folder: Path, first: int) -> Path:
    return folder / f"tokens_{first:06d}.npy"


def _masks_path(folder: Path, first: int) -> Path:
    return folder / f"masks_{first:06d}.npy"


def _save(path: Path, array: np.ndarray) -> None:
    aside = path.with_suffix(".aside")
    with aside.open("wb") as file:
        np.save(file, array)
    os.replace(aside, path)


def load(folder: Path, what: str, n: int) -> np.ndarray:
    """The first n rows of "training" or "wide" pictures, "tokens" or "masks"."""
    return np.concatenate([np.load(folder / f"{what}_{first:06d}.npy") for first in range(0, n, SHARD)])[:n]
