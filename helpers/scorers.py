"""Loading CLIPs that score: from the embedded world, a folder, open_clip's published names, or a hub.

Weights are read from safetensors only and no code of a model's author runs; see helpers.models.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import transformers
from diffusers import StableDiffusionPipeline
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from helpers.config import InputError, content_hash, tensor_hash
from helpers.models import CHIBI, cannot_load, pick_device

NAMED_CLIP = re.compile(r"(?P<model>[\w.-]+)/(?P<tag>[\w.-]+)")
HARMLESS = {"clean", "strip_sep_token", "language"}  # what a scorer may set for its tokenizer


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A CLIP that scores images and texts, and how it wants its images."""

    model: nn.Module
    """An open_clip model with encode_image and encode_text."""
    tokenizer: Callable[[list[str]], Tensor]
    """Texts to ids [N, L]."""
    size: int
    """Side of the square images it reads, in pixels."""
    mean: tuple[float, float, float]
    """Mean of each channel, in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of each channel, in [0, 1]."""
    interpolation: str
    """How images are resized: "bicubic" or "bilinear"."""
    fingerprint: str
    """Hash of its weights and of how it reads images."""


def check_scorer(pipeline: StableDiffusionPipeline, source: str) -> None:
    """Raise InputError if chibi's scorer is to judge a pipeline of other words than chibi's."""
    if source == "chibi":
        known = transformers.CLIPTokenizer.from_pretrained(CHIBI / "scorer").get_vocab()
        if pipeline.tokenizer.get_vocab() != known:
            raise InputError(
                "scorer 'chibi' has only ever seen chibi's drawings: name another for this model, "
                "an open_clip folder or a name with its weights such as ViT-B-32/openai."
            )


def load_scorer(source: str, *, device: str = "auto") -> Scorer:
    """A frozen CLIP in float32 for scoring.

    Args:
        source: "chibi" (the embedded scorer), an open_clip folder with or without "local-dir:",
            a hub id "hf-hub:owner/name", or an open_clip name with its weights, "ViT-B-32/openai".
        device: see pick_device.

    Raises:
        InputError: the source is none of these, cannot be reached, or is no CLIP in safetensors.
    """
    place = pick_device(device)
    folder = _folder(source)
    named = NAMED_CLIP.fullmatch(source)
    try:
        if folder.is_dir():
            model, tokenizer = _clip_from_folder(folder, source)
        elif source.startswith("hf-hub:"):
            wanted = ["*.json", "open_clip_model.safetensors", "merges.txt", "*.model"]
            copy = snapshot_download(source.removeprefix("hf-hub:"), allow_patterns=wanted)
            model, tokenizer = _clip_from_folder(Path(copy), source)
        elif named and named["model"] in open_clip.list_models():
            model, tokenizer = _clip_from_name(named["model"], named["tag"], source)
        else:
            raise InputError(
                f"scorer {source!r} is not known: name chibi, an open_clip folder, hf-hub:owner/name, "
                "or an open_clip model with its weights such as ViT-B-32/openai."
            )
    except InputError:
        raise
    except Exception as error:  # of any of the libraries below; the user gets one sentence, the cause stays chained
        raise cannot_load("scorer", source, "an open_clip model with safetensors weights", error) from error
    reading = open_clip.get_model_preprocess_cfg(model)
    size = reading["size"]
    model.eval().requires_grad_(False).to(place)
    return Scorer(
        model=model,
        tokenizer=tokenizer,
        size=size if isinstance(size, int) else size[0],
        mean=tuple(reading["mean"]),
        std=tuple(reading["std"]),
        interpolation=reading.get("interpolation", "bicubic"),
        fingerprint=content_hash(tensor_hash(model.state_dict().items()), described(model), reading),
    )


def untrained_like(scorer: Scorer, source: str, *, seed: int) -> Scorer:
    """A scorer of the same shape with random weights, as its training started from; a draw of the seed.

    Args:
        scorer: loaded from `source`.
        source: see `load_scorer`.
        seed: of the weights.
    """
    folder, named = _folder(source), NAMED_CLIP.fullmatch(source)
    other = named["model"] if named else source
    name = f"local-dir:{folder}" if folder.is_dir() else other
    logging.disable(logging.WARNING)  # open_clip's, that nothing was loaded
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            twin = open_clip.create_model(name, load_weights=False)
    finally:
        logging.disable(logging.NOTSET)
    device = next(scorer.model.parameters()).device
    twin.eval().requires_grad_(False).to(device)
    return dataclasses.replace(scorer, model=twin, fingerprint=content_hash("untrained", scorer.fingerprint, seed))


def _folder(source: str) -> Path:
    """Where a scorer's files would be, if its source is a folder."""
    return CHIBI / "scorer" if source == "chibi" else Path(source.removeprefix("local-dir:")).expanduser()


def described(model: nn.Module) -> list[str]:
    """The kinds of its layers, in order: the same weights under another activation score otherwise."""
    return [type(module).__name__ for module in model.modules()]


def _clip_from_folder(folder: Path, source: str) -> tuple[nn.Module, Callable]:
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"scorer {source!r} has no {name}: name a folder saved by open_clip in safetensors.")
    _refuse_code(folder, source)
    name = f"local-dir:{folder}"
    return open_clip.create_model(name), open_clip.get_tokenizer(name)


def _refuse_code(folder: Path, source: str) -> None:
    """Raise InputError if the folder's configuration asks open_clip for more than reading its tokenizer's files: it
    passes a configuration's tokenizer_kwargs on, and trust_remote_code among them would run the folder's code."""
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    asked = config.get("model_cfg", {}).get("text_cfg", {}).get("tokenizer_kwargs") or {}
    if refused := sorted(set(asked) - HARMLESS):
        raise InputError(
            f"scorer {source!r} sets {', '.join(refused)} for its tokenizer, which could run its author's code: take "
            "tokenizer_kwargs out of its open_clip_config.json, or name another scorer."
        )


def _clip_from_name(name: str, tag: str, source: str) -> tuple[nn.Module, Callable]:
    """An open_clip name with its published weights, with the activation those weights were trained with."""
    entry = open_clip.get_pretrained_cfg(name.removesuffix("-quickgelu"), tag)
    if not entry:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name))
        raise InputError(f"scorer {source!r} has unknown weights: {name} has {tags}.")
    weights = open_clip.download_pretrained(entry)
    if not weights.endswith(".safetensors"):
        raise InputError(f"scorer {source!r} is not published as safetensors: name another.")
    model = open_clip.create_model(
        name,
        pretrained=weights,
        force_quick_gelu=bool(entry.get("quick_gelu")),
        image_mean=entry.get("mean"),
        image_std=entry.get("std"),
        image_interpolation=entry.get("interpolation"),
    )
    return model, open_clip.get_tokenizer(name)
