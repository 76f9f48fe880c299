"""Loading CLIPs that score: from the embedded world, a folder, open_clip's published names, or a hub.

Weights are read from safetensors only and no code of a model's author runs; see helpers.models.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import transformers
from diffusers import StableDiffusionPipeline
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from helpers.config import InputError
from helpers.hashing import content_hash, tensor_hash
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
    try:
        model, tokenizer = _clip(source)
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
    """The same model with random weights, as its training started from; a draw of the seed.

    Args:
        scorer: loaded from `source`.
        source: see `load_scorer`.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin, _ = _clip(source, weights=False)
    device = next(scorer.model.parameters()).device
    twin.eval().requires_grad_(False).to(device)
    return dataclasses.replace(scorer, model=twin, fingerprint=content_hash("untrained", scorer.fingerprint, seed))


def _clip(source: str, *, weights: bool = True) -> tuple[nn.Module, Callable]:
    """A CLIP and its tokenizer; without weights of random ones, of torch's generator."""
    folder = CHIBI / "scorer" if source == "chibi" else Path(source.removeprefix("local-dir:")).expanduser()
    named = NAMED_CLIP.fullmatch(source)
    with _quiet(not weights):
        if folder.is_dir():
            return _clip_from_folder(folder, source, weights)
        if source.startswith("hf-hub:"):
            wanted = ["*.json", "open_clip_model.safetensors", "merges.txt", "*.model"]
            copy = snapshot_download(source.removeprefix("hf-hub:"), allow_patterns=wanted)
            return _clip_from_folder(Path(copy), source, weights)
        if named and named["model"] in open_clip.list_models():
            return _clip_from_name(named["model"], named["tag"], source, weights)
    raise InputError(
        f"scorer {source!r} is not known: name chibi, an open_clip folder, hf-hub:owner/name, "
        "or an open_clip model with its weights such as ViT-B-32/openai."
    )


@contextlib.contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """Without open_clip's warning that nothing was loaded, which it gives through the root logger."""
    root, nothing = logging.getLogger(), logging.Filter("nothing")
    if wanted:
        root.addFilter(nothing)
    try:
        yield
    finally:
        root.removeFilter(nothing)


def described(model: nn.Module) -> list[str]:
    """The kinds of its layers, in order: the same weights under another activation score otherwise."""
    return [type(module).__name__ for module in model.modules()]


def _clip_from_folder(folder: Path, source: str, weights: bool) -> tuple[nn.Module, Callable]:
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"scorer {source!r} has no {name}: name a folder saved by open_clip in safetensors.")
    _refuse_code(folder, source)
    name = f"local-dir:{folder}"
    return open_clip.create_model(name, load_weights=weights), open_clip.get_tokenizer(name)


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


def _clip_from_name(name: str, tag: str, source: str, weights: bool) -> tuple[nn.Module, Callable]:
    """An open_clip name with its published weights, or with random ones; with the activation of the published."""
    entry = open_clip.get_pretrained_cfg(name.removesuffix("-quickgelu"), tag)
    if not entry:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name))
        raise InputError(f"scorer {source!r} has unknown weights: {name} has {tags}.")
    path = open_clip.download_pretrained(entry) if weights else None
    if path and not path.endswith(".safetensors"):
        raise InputError(f"scorer {source!r} is not published as safetensors: name another.")
    model = open_clip.create_model(
        name,
        pretrained=path,
        force_quick_gelu=bool(entry.get("quick_gelu")),
        image_mean=entry.get("mean"),
        image_std=entry.get("std"),
        image_interpolation=entry.get("interpolation"),
    )
    return model, open_clip.get_tokenizer(name)
