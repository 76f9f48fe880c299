"""Loading models: Stable Diffusion pipelines and CLIP scorers, from the embedded world, a folder or a hub.

Weights are read from safetensors only and no code of a model's author runs. Every failure to load
is an InputError of one sentence, with the library's own error chained behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import diffusers
import open_clip
import torch
import transformers
from diffusers import StableDiffusionPipeline
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from helpers.config import InputError, content_hash, tensor_hash
from helpers.files import ROOT

CHIBI = ROOT / "data" / "chibi"
"""Folder of the embedded world's models."""
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
NAMED_CLIP = re.compile(r"(?P<model>[\w.-]+)/(?P<tag>[\w.-]+)")
HARMLESS = {"clean", "strip_sep_token", "language"}  # what a scorer may set for its tokenizer
PREDICTIONS = ("epsilon", "v_prediction", "sample")


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


def pick_device(name: str) -> torch.device:
    """Device of "auto" (the GPU if there is one), "cpu", "cuda" or "cuda:<number>".

    Raises:
        InputError: another name, or a GPU that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d)?", name):
        raise InputError(f"device is {name!r}: name auto, cpu, cuda or cuda:<number>.")
    device = torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else name.replace("auto", "cuda"))
    if name.startswith("cuda") and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device is {name!r}, but torch finds {torch.cuda.device_count()} GPUs here: use auto or cpu.")
    return device


def load_pipeline(source: str, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> StableDiffusionPipeline:
    """A frozen Stable Diffusion 1.x or 2.x pipeline, in evaluation mode.

    Args:
        source: "chibi" (the embedded model), a folder in diffusers' layout, or a hub id "owner/name".
        device: see pick_device.
        dtype: of all weights.

    Raises:
        InputError: the source is none of these, cannot be reached, or is another kind of pipeline.
    """
    place = pick_device(device)
    location = _pipeline_location(source)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        kind = StableDiffusionPipeline.load_config(location)["_class_name"]
        if kind != "StableDiffusionPipeline":
            raise InputError(f"model {source!r} is a {kind}: name a StableDiffusionPipeline (1.x or 2.x).")
        pipeline = StableDiffusionPipeline.from_pretrained(
            location,
            use_safetensors=True,
            dtype=dtype,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except InputError:
        raise
    except Exception as error:  # of any of the libraries below; the user gets one sentence, the cause stays chained
        raise _cannot_load("model", source, "a folder in diffusers' layout with safetensors weights", error) from error
    return _frozen(pipeline.to(place), source)


def _pipeline_location(source: str) -> str:
    if source == "chibi":
        if not (CHIBI / "pipeline").is_dir():
            raise InputError("the embedded model is missing (data/chibi/pipeline): run `make world` to train it.")
        return str(CHIBI / "pipeline")
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise InputError(f"model folder {source!r} has no model_index.json: name a folder in diffusers' layout.")
        return str(folder)
    if not HUB_ID.fullmatch(source):
        raise InputError(f"model {source!r} is no folder here: name chibi, a folder, or a hub id such as owner/name.")
    return source


def _frozen(pipeline: StableDiffusionPipeline, source: str) -> StableDiffusionPipeline:
    prediction = pipeline.scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        raise InputError(f"model {source!r} predicts {prediction!r}: name one that predicts {', '.join(PREDICTIONS)}.")
    channels = pipeline.unet.config.in_channels
    if channels != pipeline.vae.config.latent_channels:
        raise InputError(f"model {source!r} has a UNet of {channels} input channels: name a text-to-image model.")
    for module in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
        module.eval().requires_grad_(False)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_fingerprint(pipeline: StableDiffusionPipeline) -> str:
    """Hash of a pipeline's weights, vocabulary and noise schedule; of the pipeline as loaded, without adapters."""
    modules = {"vae": pipeline.vae, "text_encoder": pipeline.text_encoder, "unet": pipeline.unet}
    weights = {name: tensor_hash(module.state_dict().items()) for name, module in modules.items()}
    # as text, since a solver's settings may be infinite and JSON has no such number
    schedule = {key: str(value) for key, value in pipeline.scheduler.config.items() if not key.startswith("_")}
    return content_hash(weights, pipeline.tokenizer.get_vocab(), schedule)


def through_vae(size: int) -> int:
    """How many square pictures of `size` pixels a side the VAE takes at once: two of 512, never more than eight.

    It works on whole pictures, with hundreds of channels: large ones need more memory there than in the UNet.
    """
    return max(1, min(8, 2 * 512**2 // size**2))


def image_size(pipeline: StableDiffusionPipeline) -> int:
    """Side of the square images a pipeline draws, in pixels."""
    return pipeline.unet.config.sample_size * pipeline.vae_scale_factor


def batch_that_fits(pipeline: StableDiffusionPipeline) -> int:
    """How many pictures to sample at once: 32 up to 128 pixels, fewer of larger ones, 2 of 512."""
    return max(1, min(32, 32 * 128**2 // image_size(pipeline) ** 2))


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
    folder = CHIBI / "scorer" if source == "chibi" else Path(source.removeprefix("local-dir:")).expanduser()
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
        raise _cannot_load("scorer", source, "an open_clip model with safetensors weights", error) from error
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
        fingerprint=content_hash(tensor_hash(model.state_dict().items()), reading),
    )


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


def _cannot_load(what: str, source: str, wanted: str, error: Exception) -> InputError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[0].rstrip(".") if lines else type(error).__name__
    return InputError(f"{what} {source!r} cannot be loaded ({reason}): name {wanted}, or check the network.")
