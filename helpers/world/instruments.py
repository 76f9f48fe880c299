"""Train the chibi world's instruments: the reader, and a scorer that never conditions the generator."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import open_clip
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.files import folder_aside
from helpers.world.clip import contrastive
from helpers.world.export import half
from helpers.world.fit import Fitted, fit
from helpers.world.reader import SLOT_NUMBERS, SLOTS, Reader, targets, to_batch
from helpers.world.rendered import CAPTIONS, load
from helpers.world.sampling import wide_scene
from helpers.world.stages import Site, seeded, to_input
from helpers.world.vocabulary import MAX_LENGTH, make_tokenizer

log = logging.getLogger(__name__)
READER = {"width": 32}


def train_reader(
    site: Site, vae: AutoencoderKL, *, start: Reader | None = None, before: int = 0
) -> tuple[Reader, Fitted]:
    """Learn to read pictures from beyond the generator's world; every second one has been through the VAE.

    It begins untrained, or goes on from `start`, which has seen `before` steps and is trained in place.
    """
    steps, size = site.preset.reader
    place = site.checkpoint("reader", *([vae] if start is None else [vae, start]))
    reader = start or seeded(site, "reader", lambda: Reader(**READER))
    n = site.preset.wide
    pictures, masks = load(site.data, "wide", n).copy(), load(site.data, "wide_masks", n)
    pictures[: n // 2] = reconstruct(vae, pictures[: n // 2])
    rows_of = [targets(wide_scene(i)) for i in range(n)]
    truth = {key: torch.from_numpy(np.stack([row[key] for row in rows_of])) for key in rows_of[0]}
    log.info("reader: %d pictures, %d of them through the VAE", n, n // 2)

    def loss(step: int) -> Tensor:
        rows = site.choice("reader", before + step, n, size)
        batch = to_input(site, pictures[rows])
        noise = torch.randn(batch.shape, generator=site.generator("reader noise", before + step)).to(site.device)
        with site.autocast():
            out = reader(batch + 0.03 * noise)
        seen = torch.from_numpy(masks[rows]).to(site.device).float() / 255
        return reader_loss(out, {key: value[rows].to(site.device) for key, value in truth.items()}, seen)

    fitted = fit(
        **place,
        module=reader,
        loss=loss,
        steps=steps,
        learning_rate=2e-3,
        weight_decay=0.01,
        ema_decay=0.995,
    )
    return reader, fitted


def reader_loss(out: dict[str, Tensor], truth: dict[str, Tensor], masks: Tensor) -> Tensor:
    """Cross-entropy of classes, Laplace likelihood of numbers (so that each comes with its expected error), masks.

    The likelihood's gradient grows as the expected error shrinks; below a hundredth of a unit it is held there, or
    colours that are already exact would outweigh the classes.
    """
    total = 4 * F.binary_cross_entropy_with_logits(out["mask"].float(), masks)
    numbers = {f"{name}_{slot}": n for slot in range(SLOTS) for name, n in SLOT_NUMBERS.items()}
    for key, target in truth.items():
        raw = out[key].float()
        if key in numbers:
            known = ~target.isnan()
            value, spread = raw[:, : numbers[key]], raw[:, numbers[key] :].clamp(-4.5, 2)
            likelihood = (value - target.nan_to_num()).abs() * (-spread).exp() + spread
            total = total + 0.3 * (likelihood * known).sum() / known.numel()
        else:
            total = total + 2 * F.cross_entropy(raw, target, ignore_index=-1, reduction="sum") / len(target)
    return total


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """uint8 pictures [n, 64, 64, 3] after the VAE."""
    parts = []
    for i in range(0, len(pictures), 100):
        batch = to_batch(pictures[i : i + 100], vae.device)
        parts.append(to_uint8(vae.decode(vae.encode(batch).latent_dist.mean).sample))
    return np.concatenate(parts)


def to_uint8(batch: Tensor) -> np.ndarray:
    """A float batch [n, 3, 64, 64] in [-1, 1] as uint8 pictures [n, 64, 64, 3]."""
    return (batch.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def scorer_config() -> dict:
    """open_clip's own configuration of the scorer: another shape than the conditioning CLIP."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": 3, "width": 160, "head_width": 40, "patch_size": 8},
        "text_cfg": {
            "context_length": MAX_LENGTH,
            "vocab_size": len(make_tokenizer()),
            "width": 128,
            "heads": 4,
            "layers": 2,
            "hf_tokenizer_name": "chibi",
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    }


def make_scorer() -> nn.Module:
    """An untrained open_clip CLIP of the scorer's shape."""
    config = scorer_config()
    config["text_cfg"] = {
        k: v for k, v in config["text_cfg"].items() if k not in ("hf_tokenizer_name", "tokenizer_kwargs")
    }
    return open_clip.CLIP(**config)


def train_scorer(site: Site) -> tuple[nn.Module, Fitted]:
    """The contrastive loss again, another seed and shape; the model scores and never conditions."""
    steps, size = site.preset.scorer
    scorer = seeded(site, "scorer", make_scorer)
    pictures, tokens = (
        load(site.data, "training", site.preset.training),
        load(site.data, "tokens", site.preset.training),
    )

    def loss(step: int) -> Tensor:
        rows, columns = (
            site.choice("scorer", step, len(pictures), size),
            site.choice("scorer caption", step, CAPTIONS, size),
        )
        ids = torch.from_numpy(tokens[rows, columns].astype(np.int64)).to(site.device)
        with site.autocast():
            out = scorer(to_input(site, pictures[rows]), ids)
        image, text, scale = out[:3]
        return contrastive(scale * text.float() @ image.float().T)

    fitted = fit(
        **site.checkpoint("scorer"), module=scorer, loss=loss, steps=steps, learning_rate=1e-3, weight_decay=0.05
    )
    return scorer, fitted


def save_scorer(folder: Path, scorer: nn.Module) -> None:
    """open_clip's `local-dir:` format."""
    with folder_aside(folder) as aside:
        save_file(half(scorer).state_dict(), aside / "open_clip_model.safetensors")
        mean = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        config = {"model_cfg": scorer_config(), "preprocess_cfg": mean}
        (aside / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
        make_tokenizer().save_pretrained(aside)


def save_reader(folder: Path, reader: Reader) -> None:
    """config.json and model.safetensors, for `reader.load_reader`."""
    with folder_aside(folder) as aside:
        save_file(half(reader).state_dict(), aside / "model.safetensors")
        (aside / "config.json").write_text(json.dumps(READER) + "\n")
