"""The rendered training sets on disk: shards of pictures, of captions as token ids, of masks; resumable."""

from __future__ import annotations

import functools
import hashlib
import logging
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from helpers.files import aside
from helpers.world.captions import caption
from helpers.world.draw import draw
from helpers.world.sampling import training_scene, wide_scene
from helpers.world.scene import SIZE, rng
from helpers.world.vocabulary import make_tokenizer

log = logging.getLogger(__name__)
SHARD = 2000  # pictures a file
CAPTIONS = 6  # captions written for each picture
CODE = (
    "backdrops.py",
    "canvas.py",
    "captions.py",
    "draw.py",
    "figure.py",
    "pen.py",
    "population.py",
    "sampling.py",
    "scene.py",
    "styles.py",
    "things.py",
    "vocabulary.py",
)  # what decides on pictures and captions


@functools.cache
def drawings_hash() -> str:
    """Hash of the code that draws and says, and of a few pictures, masks and captions: another version of a library
    might draw them otherwise."""
    digest = hashlib.sha256()
    for file in CODE:
        digest.update((Path(__file__).parent / file).read_bytes())
    for i in range(24):
        for scene in (training_scene(i), wide_scene(i)):
            digest.update(b"".join(array.tobytes() for array in draw(scene)))
        digest.update(caption(training_scene(i), rng(0, "caption", i)).encode())
    return digest.hexdigest()[:12]


def render_all(*, folder: Path, training: int, wide: int, workers: int) -> None:
    """Write what is missing of `training` captioned pictures and `wide` pictures, with masks."""
    kinds = (("training", training), ("tokens", training), ("wide", wide))
    jobs = [(kind, first) for kind, n in kinds for first in range(0, n, SHARD)]
    jobs = [job for job in jobs if not _path(folder, *job).exists()]
    if not jobs:
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(partial(write_shard, folder), jobs), start=1):
            if done % 5 == 0 or done == len(jobs):
                log.info("drawing: shard %d of %d", done, len(jobs))


def write_shard(folder: Path, job: tuple[str, int]) -> None:
    """Write one shard: (kind, index of its first picture)."""
    kind, first = job
    if kind == "tokens":
        scenes = [(i, training_scene(i)) for i in range(first, first + SHARD)]
        texts = [caption(scene, rng(0, "caption", CAPTIONS * i + k)) for i, scene in scenes for k in range(CAPTIONS)]
        ids = make_tokenizer()(texts, padding="max_length", truncation=True).input_ids
        _save(_path(folder, *job), np.asarray(ids, np.int16).reshape(SHARD, CAPTIONS, -1))
        return
    pictures, masks = np.empty((SHARD, SIZE, SIZE, 3), np.uint8), np.zeros((SHARD, 2, SIZE, SIZE), np.uint8)
    for i in range(SHARD):
        scene = training_scene(first + i) if kind == "training" else wide_scene(first + i)
        pictures[i], drawn = draw(scene)
        for slot, figure in enumerate(sorted(range(len(scene.figures)), key=lambda k: scene.figures[k].x)):
            masks[i, slot] = drawn[figure]
    _save(_path(folder, f"{kind}_masks", first), masks if kind == "wide" else masks.max(1))
    _save(_path(folder, *job), pictures)


def load(folder: Path, what: str, n: int) -> np.ndarray:
    """The first n rows of "training" or "wide" pictures, of their "..._masks", or of "tokens"."""
    return np.concatenate([np.load(_path(folder, what, first)) for first in range(0, n, SHARD)])[:n]


def _path(folder: Path, what: str, first: int) -> Path:
    return folder / f"{what}_{first:06d}.npy"


def _save(path: Path, array: np.ndarray) -> None:
    with aside(path) as part:
        np.save(part, array)
