"""Concepts: a handful of pictures of one thing, from data/concepts or from a user's folder.

A picture is turned upright (EXIF), put on white where it is transparent, cropped to its central
square and resized. A folder may hold `masks/` of the same names, white where the concept is.
"""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from helpers.config import InputError
from helpers.files import ROOT
from helpers.hashing import content_hash, tensor_hash

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MOST_IMAGES = 25


@dataclass(frozen=True, kw_only=True)
class Concept:
    """The pictures of a concept, N to train on and M that only score."""

    name: str
    images: Tensor
    """[N, 3, S, S] uint8, the training images."""
    masks: Tensor | None
    """[N, S, S] bool, true where the concept is; None without masks."""
    names: tuple[str, ...]
    """File names of the training images."""
    score_images: Tensor
    """[M, 3, S, S] uint8, images that no training sees; M is 0 for a user's folder."""
    score_masks: Tensor | None
    """[M, S, S] bool."""
    facts: dict[str, Any]
    """Content of concept.json, empty without it."""
    scenes: list[dict[str, Any]]
    """Content of scenes.json, what each picture of the folder shows; empty without it."""

    @property
    def class_word(self) -> str:
        """What the pictures show, by concept.json; "character" where it does not say."""
        return str(self.facts.get("class_word", "character"))

    @property
    def fingerprint(self) -> str:
        """Hash of the training images and masks, wherever they lie."""
        masks = () if self.masks is None else [("masks", self.masks)]
        return content_hash(tensor_hash([("images", self.images), *masks]))


def concept_folder(source: str) -> Path:
    """Folder of a concept: a name in data/concepts, else a path.

    Raises:
        InputError: there is neither.
    """
    embedded = ROOT / "data" / "concepts"
    known = sorted(folder.name for folder in embedded.iterdir() if folder.is_dir()) if embedded.is_dir() else []
    if source in known:
        return embedded / source
    folder = Path(source).expanduser()
    if not folder.is_dir():
        names = f" or one of {', '.join(known)}" if known else ""
        raise InputError(f"concept {source!r} is no folder here: name a folder of images{names}.")
    return folder


def load_concept(source: str, *, size: int, count: int = 0) -> Concept:
    """Read a concept's pictures as squares of `size` pixels.

    Args:
        source: a name in data/concepts, or a folder of PNG, JPEG or WebP images.
        size: side of the squares, in pixels.
        count: number of training images, the first ones by name; 0 takes as many as concept.json says
            by "default_training", and all of a user's folder.

    Raises:
        InputError: no images, too many or too few for `count`, one that cannot be read, or masks
            that do not match; the message names the file.
    """
    folder = concept_folder(source)
    facts, scenes = _read_json(folder / "concept.json", {}), _read_json(folder / "scenes.json", [])
    paths = _image_paths(folder)
    score_only = _number(folder, facts, "score_only", 0)
    training = _number(folder, facts, "training", max(0, len(paths) - score_only))
    if training + score_only > len(paths):
        raise InputError(
            f"{folder / 'concept.json'} wants {training} training images and {score_only} that only score, but the "
            f"folder has {len(paths)}: none may be both, so correct these numbers or add images."
        )
    pool, held = paths[:training], paths[len(paths) - score_only :]
    chosen = pool[: count or _number(folder, facts, "default_training", len(pool))]
    if not 1 <= len(chosen) <= MOST_IMAGES or count > len(pool):
        raise InputError(
            f"concept {source!r} has {len(pool)} training images and {count or len(chosen)} are asked for: "
            f"use 1 to {min(MOST_IMAGES, len(pool))}, with -p images of helpers.publish or by taking files away."
        )
    return Concept(
        name=str(facts.get("name", folder.resolve().name)),
        images=_stack([read_image(path, size=size) for path in chosen], size),
        masks=_read_masks(folder, chosen, size=size),
        names=tuple(path.name for path in chosen),
        score_images=_stack([read_image(path, size=size) for path in held], size),
        score_masks=_read_masks(folder, held, size=size) if held else None,
        facts=facts,
        scenes=scenes,
    )


def _read_json(path: Path, absent: Any) -> Any:
    if not path.is_file():
        return absent
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not readable as JSON ({error}): mend it or take it away.") from error
    if type(content) is not type(absent):
        raise InputError(f"{path} holds a {type(content).__name__}: it must be a JSON {type(absent).__name__}.")
    return content


def _number(folder: Path, facts: dict[str, Any], key: str, absent: int) -> int:
    value = facts.get(key, absent)
    if not isinstance(value, int) or value < 0:
        raise InputError(f"{folder / 'concept.json'} says {key} is {value!r}: write a number of images.")
    return value


def _image_paths(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InputError(f"{folder} has no images: put 1 to {MOST_IMAGES} PNG, JPEG or WebP files into it.")
    ignored = [path.name for path in files if path not in paths and path.suffix != ".json"]
    if ignored:
        log.info("%s: ignored, because they are no PNG, JPEG or WebP: %s", folder, ", ".join(ignored))
    return paths


def read_image(path: Path, *, size: int) -> Tensor:
    """One picture as [3, size, size] uint8: upright, on white, central square, resized.

    Raises:
        InputError: the file is no image, is damaged, or is too large to be unpacked safely.
    """
    picture = _open(path)
    if picture.mode.startswith("I") or picture.mode == "F":
        raise InputError(f"{path} has more than 8 bits a channel: save it as an ordinary 8-bit image.")
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture.convert("RGBA"))
    square = _square(picture.convert("RGB"), path, size=size, resample=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def _open(path: Path) -> Image.Image:
    """The picture, decoded and turned upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS // 10**6
        raise InputError(f"{path} has more than {limit} million pixels: scale it down.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error).replace(str(path), "the file")
        raise InputError(f"{path} cannot be read as an image ({reason}): replace it or take it away.") from error


def _square(picture: Image.Image, path: Path, *, size: int, resample: Image.Resampling) -> Image.Image:
    width, height = picture.size
    side = min(width, height)
    if (width, height) != (size, size):
        log.info("%s: %d x %d, central square of %d resized to %d", path.name, width, height, side, size)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.crop((left, top, left + side, top + side)).resize((size, size), resample)


def _read_masks(folder: Path, images: list[Path], *, size: int) -> Tensor | None:
    """Masks of these images, cropped as they are; each in masks/ with the image's name and any suffix."""
    if not (folder / "masks").is_dir():
        return None
    return torch.stack([_read_mask(folder / "masks", path, size=size) for path in images])


def _read_mask(folder: Path, image: Path, *, size: int) -> Tensor:
    found = [path for path in sorted(folder.glob("*")) if path.stem == image.stem and path.suffix.lower() in SUFFIXES]
    if not found:
        raise InputError(f"{folder} has no mask for {image.name}: add one of this name, or take masks/ away.")
    mask, picture = _open(found[0]), _open(image)
    if mask.size != picture.size:
        raise InputError(
            f"{found[0]} is {mask.width} x {mask.height}, its image {picture.width} x {picture.height}: "
            "make them the same size."
        )
    square = _square(mask.convert("L"), found[0], size=size, resample=Image.Resampling.BOX)
    return torch.from_numpy(np.array(square)) >= 128


def _stack(images: list[Tensor], size: int) -> Tensor:
    return torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
