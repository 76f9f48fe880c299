"""Random-weight models of a few thousand parameters, in the layouts of the real ones."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from helpers.prompts import TEMPLATES

WIDTH = 16
IMAGE_SIZE = 32
TEXT_LENGTH = 24
WORDS = "an anime illustration of character girl toy dog on the moon beach in forest pencil sketch next to ball snow"


@functools.cache
def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows the words of the templates and of WORDS.

    Cached, because BPE training orders ties by chance: ids are the same only within one process.
    """
    empty = CLIPTokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer, bpe.pre_tokenizer = empty.normalizer, empty.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        show_progress=False,
    )
    bpe.train_from_iterator([WORDS, *(text.replace("S*", "") for text in TEMPLATES["object"])], trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=TEXT_LENGTH)


def make_text_encoder(words: CLIPTokenizer) -> CLIPTextModel:
    """A text encoder for the tokenizer's vocabulary and length."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=words.model_max_length,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        )
    )


def pipeline(*, prediction_type: str = "epsilon") -> StableDiffusionPipeline:
    """A frozen Stable Diffusion pipeline that draws noise of IMAGE_SIZE pixels, the same weights at every call."""
    torch.manual_seed(0)
    words = tokenizer()
    text_encoder = make_text_encoder(words)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4, 4, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=IMAGE_SIZE,
        scaling_factor=0.5,
    )
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=WIDTH,
    )
    schedule = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        steps_offset=1,
        clip_sample=False,
        prediction_type=prediction_type,
    )
    for module in (text_encoder, vae, unet):
        module.eval().requires_grad_(False)
    whole = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=words,
        unet=unet,
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    whole.set_progress_bar_config(disable=True)
    return whole


def save_scorer(folder: Path) -> Path:
    """A random open_clip model as a local-dir folder."""
    torch.manual_seed(1)
    words = tokenizer()
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 24, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {
            "context_length": TEXT_LENGTH,
            "vocab_size": len(words),
            "width": 32,
            "heads": 2,
            "layers": 2,
            "hf_tokenizer_name": "local",
        },
    }
    model = open_clip.model.CLIP(**config)
    reading = {"size": 24, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    folder.mkdir(parents=True)
    text = json.dumps({"model_cfg": config, "preprocess_cfg": reading})
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    words.save_pretrained(folder)
    return folder


def layout_of_sd15(*, prediction_type: str = "epsilon") -> StableDiffusionPipeline:
    """The classes and levels of Stable Diffusion 1.5's pipeline (2.x's with "v_prediction"), of small widths."""
    whole = pipeline(prediction_type=prediction_type)
    torch.manual_seed(0)
    words = CLIPTokenizer(vocab=whole.tokenizer.get_vocab(), merges=merges_of(whole.tokenizer), model_max_length=77)
    text_encoder = make_text_encoder(words)
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=2,
        norm_num_groups=4,
        attention_head_dim=(1, 2, 4, 4) if prediction_type == "v_prediction" else 2,
        use_linear_projection=prediction_type == "v_prediction",
        cross_attention_dim=WIDTH,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=2,
        norm_num_groups=4,
        sample_size=128,
    )
    for name, module in {"text_encoder": text_encoder, "unet": unet, "vae": vae}.items():
        setattr(whole, name, module.eval().requires_grad_(False))
    whole.tokenizer, whole.vae_scale_factor = words, 8
    whole.register_to_config(requires_safety_checker=False)
    return whole


def merges_of(words: CLIPTokenizer) -> list[tuple[str, str]]:
    """The merges of a tokenizer, as its constructor wants them."""
    return [tuple(merge) for merge in json.loads(words.backend_tokenizer.to_str())["model"]["merges"]]
