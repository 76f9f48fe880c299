"""What a geometry is measured on: features from a file, captions from a file, pictures from a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from helpers.concepts import SUFFIXES, read_image
from helpers.config import InputError

WANTED = "a .npy or .safetensors file of shape (2, N, d), image features and then text features"
FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A text about a picture."""

    text: str
    image: str = ""
    """File name of its picture; empty where the file of captions does not say."""


def read_features(source: str) -> Tensor:
    """Features [2, N, D] in float64: of N images, then of their texts.

    A .safetensors file may hold one such tensor, or two [N, D] named images and texts.

    Raises:
        InputError: the file is missing, is no such file, or holds other shapes.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"features {source!r} is no file here: name {WANTED}.")
    try:
        held = load_file(path) if path.suffix == ".safetensors" else {"": _read_array(path)}
    except (SafetensorError, ValueError, OSError, EOFError) as error:
        raise InputError(f"features {source!r} cannot be read ({_first_line(error)}): name {WANTED}.") from error
    if set(held) == {"images", "texts"}:
        one, other = held["images"], held["texts"]
        if one.shape != other.shape:
            shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
            raise InputError(f"features {source!r} holds images and texts of shapes {shapes}: give as many of each.")
        held = {"": torch.stack([one, other])}
    shapes = [tuple(tensor.shape) for tensor in held.values()]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] != 2 or min(shapes[0]) < 1:
        raise InputError(f"features {source!r} has shape {', '.join(map(str, shapes)) or 'none'}: name {WANTED}.")
    (features,) = held.values()
    if not features.is_floating_point():
        raise InputError(f"features {source!r} holds {features.dtype}: give real numbers.")
    return features.double()


def _read_array(path: Path) -> Tensor:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError("it holds no plain array of numbers")
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def read_captions(source: str) -> list[Caption]:
    """Captions of a COCO captions JSON (the first of each picture), or of a text file, one a line.

    Raises:
        InputError: the file is missing, not UTF-8, no such JSON, or holds fewer than 3 captions.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"captions {source!r} is no file here: name world, a COCO captions JSON, or a text file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"captions {source!r} is not UTF-8 (byte {error.start}): save it as UTF-8 text.") from error
    if path.suffix.lower() == ".json":
        found = _coco(source, text)
    else:
        found = [Caption(text=line.strip()) for line in text.splitlines() if line.strip()]
    if len(found) < FEWEST:
        raise InputError(f"captions {source!r} holds {len(found)} captions: give {FEWEST} or more.")
    return found


def _coco(source: str, text: str) -> list[Caption]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise InputError(f"captions {source!r} is not JSON ({where}): mend it, or name a .txt file.") from error
    try:
        names = {image["id"]: str(image["file_name"]) for image in content.get("images", [])}
        first: dict[Any, str] = {}
        for annotation in content["annotations"]:
            first.setdefault(annotation["image_id"], " ".join(annotation["caption"].split()))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"captions {source!r} is no COCO captions file ({type(error).__name__}: {error}): it needs annotations, "
            "a list of maps with image_id and caption."
        ) from error
    return [Caption(text=caption, image=names.get(image, "")) for image, caption in first.items() if caption]


def picture_paths(source: str) -> list[Path]:
    """The pictures of a folder, by name.

    Raises:
        InputError: there is no such folder, or fewer than 3 pictures in it.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise InputError(f"images {source!r} is no folder here: name world, or a folder of PNG, JPEG or WebP images.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    if len(paths) < FEWEST:
        raise InputError(f"images {source!r} holds {len(paths)} PNG, JPEG or WebP images: give {FEWEST} or more.")
    return paths


def read_pictures(paths: list[Path], *, size: int) -> Tensor:
    """Pictures [N, 3, size, size] uint8, as `concepts.read_image` crops them."""
    return torch.stack([read_image(path, size=size) for path in paths])


def matched(captions: list[Caption], paths: list[Path]) -> tuple[list[Caption], list[Path], bool]:
    """Captions and pictures, row by row, and whether row i of both belongs together.

    They do where captions name 3 or more of the pictures, which alone are kept then, or where captions name none and
    are as many as there are pictures. Else both are as they were, cut to the same number.
    """
    by_name = {path.name: path for path in paths}
    named = [caption for caption in captions if caption.image in by_name]
    if len(named) >= FEWEST:
        return named, [by_name[caption.image] for caption in named], True
    count = min(len(captions), len(paths))
    together = len(captions) == len(paths) and not any(caption.image for caption in captions)
    return captions[:count], paths[:count], together


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
