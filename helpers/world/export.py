"""Write the world's models in the formats their libraries load: safetensors, float16 on disk."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTokenizer

from helpers.files import folder_aside
from helpers.world.networks import make_scheduler


def text_tower(clip: CLIPModel) -> CLIPTextModel:
    """The CLIP's text tower as Stable Diffusion's text encoder, with weights of its own."""
    tower = CLIPTextModel(clip.config.text_config)
    state = {key.removeprefix("text_model."): value for key, value in clip.text_model.state_dict().items()}
    own = {key.removeprefix("text_model."): key for key in tower.state_dict()}
    tower.load_state_dict({own[key]: value for key, value in state.items() if key in own})
    return tower.eval()


def half(module: torch.nn.Module) -> torch.nn.Module:
    """A float16 copy on the CPU, in plain memory order."""
    return copy.deepcopy(module).cpu().to(torch.float16).to(memory_format=torch.contiguous_format)


def as_reloaded(module: torch.nn.Module) -> torch.nn.Module:
    """The module with weights rounded to float16: what a user gets back from the files."""
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())
    return module.eval().requires_grad_(False)


def save_pipeline(
    folder: Path, *, vae: AutoencoderKL, clip: CLIPModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> None:
    """What `StableDiffusionPipeline.from_pretrained` loads; sampled with DPM-Solver++(2M) by default."""
    pipeline = StableDiffusionPipeline(
        vae=half(vae),
        text_encoder=half(text_tower(clip)),
        tokenizer=tokenizer,
        unet=half(unet),
        scheduler=DPMSolverMultistepScheduler.from_config(make_scheduler().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with folder_aside(folder) as aside:
        pipeline.save_pretrained(aside, safe_serialization=True)
        load_as_float32(aside / "text_encoder" / "config.json")


def save_clip(folder: Path, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
    """The conditioning CLIP with its image tower, for transformers."""
    with folder_aside(folder) as aside:
        half(clip).save_pretrained(aside, safe_serialization=True)
        tokenizer.save_pretrained(aside)
        size = {"height": 64, "width": 64}
        CLIPImageProcessor(
            do_resize=True, size=size, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
        ).save_pretrained(aside)
        load_as_float32(aside / "config.json")


def save_unet(folder: Path, unet: UNet2DConditionModel) -> None:
    """A UNet alone, for `UNet2DConditionModel.from_pretrained`."""
    with folder_aside(folder) as aside:
        half(unet).save_pretrained(aside, safe_serialization=True)


def load_as_float32(config: Path) -> None:
    """transformers loads float16 files as Half unless their config says otherwise; diffusers makes float32."""
    data = json.loads(config.read_text(encoding="utf-8"))
    data["dtype"] = "float32"
    for part in ("text_config", "vision_config"):
        if part in data:
            data[part]["dtype"] = "float32"
    config.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")
