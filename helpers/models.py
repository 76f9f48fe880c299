"""Loading Stable Diffusion pipelines: from the embedded world, a folder or a hub.

Weights are read from safetensors only and no code of a model's author runs. Every failure to load
is an InputError of one sentence, with the library's own error chained behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from helpers.config import InputError
from helpers.files import ROOT
from helpers.hashing import content_hash, tensor_hash

CHIBI = ROOT / "data" / "chibi"
"""Folder of the embedded world's models."""
EMBEDDED = ("chibi", "chibi-b")
"""Names of the embedded models: the second has another UNet, of another shape and seed, on which signs are checked."""
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
OF_TEXT_ENCODER = ("hidden_act", "num_attention_heads", "layer_norm_eps", "eos_token_id")
"""What its weights do not say about what it computes."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")


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
        source: "chibi" or "chibi-b" (the embedded models), a folder in diffusers' layout, or a hub id "owner/name".
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
        raise cannot_load("model", source, "a folder in diffusers' layout with safetensors weights", error) from error
    if source == "chibi-b":
        pipeline.unet = UNet2DConditionModel.from_pretrained(CHIBI / "unet_b", use_safetensors=True, dtype=dtype)
    return _frozen(pipeline.to(place), source)


def _pipeline_location(source: str) -> str:
    if source in EMBEDDED:
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
    """Hash of a pipeline's weights, configurations, vocabulary and schedule; as loaded, without adapters."""
    modules = {"vae": pipeline.vae, "text_encoder": pipeline.text_encoder, "unet": pipeline.unet}
    weights = {name: tensor_hash(module.state_dict().items()) for name, module in modules.items()}
    layers = [settings(dict(module.config)) for module in (pipeline.vae, pipeline.unet)]
    layers.append({name: str(getattr(pipeline.text_encoder.config, name)) for name in OF_TEXT_ENCODER})
    reading = pipeline.tokenizer.get_vocab(), pipeline.tokenizer.model_max_length, pipeline.tokenizer.pad_token
    return content_hash(weights, layers, reading, settings(dict(pipeline.scheduler.config)))


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """What a module's configuration says about what it computes.

    As text, since a solver's settings may be infinite and JSON has no such number.
    """
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    return {key: str(value) for key, value in plain.items() if not key.startswith("_")}


def through_vae(size: int) -> int:
    """How many square pictures of `size` pixels a side the VAE takes at once: two of 512, never more than eight.

    It works on whole pictures, with hundreds of channels: large ones need more memory there than in the UNet.
    """
    return max(1, min(8, 2 * 512**2 // size**2))


def image_size(pipeline: StableDiffusionPipeline) -> int:
    """Side of the square images a pipeline draws, in pixels."""
    return pipeline.unet.config.sample_size * pipeline.vae_scale_factor


def cannot_load(what: str, source: str, wanted: str, error: Exception) -> InputError:
    """What to say of a model that a library could not load."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[0].rstrip(".") if lines else type(error).__name__
    return InputError(f"{what} {source!r} cannot be loaded ({reason}): name {wanted}, or check the network.")
