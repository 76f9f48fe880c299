"""Train the chibi world's generator: VAE, CLIP, UNets. Each stage is one function, resumable, seeded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel

from helpers.hashing import content_hash, tensor_hash
from helpers.world.fit import Fitted, fit, write_tensors
from helpers.world.networks import make_scheduler, make_unet, make_vae, normalise_latents
from helpers.world.reader import to_batch
from helpers.world.rendered import CAPTIONS, drawings_hash, load
from helpers.world.scene import rng
from helpers.world.vocabulary import make_tokenizer

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)
CODE = (
    "clip.py",
    "nearmiss.py",
    "networks.py",
    "fit.py",
    "stages.py",
    "instruments.py",
    "reader.py",
)  # what decides on weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How much of everything a world is trained on."""

    training: int  # captioned pictures
    wide: int  # pictures for the instruments
    vae: tuple[int, int]  # steps, batch
    clip: tuple[int, int]
    scorer: tuple[int, int]
    reader: tuple[int, int]
    unet: tuple[int, int, int]  # layout steps, detail steps, batch
    threads: int = 2  # of the CPU; another number gives other rounding
    seed: int = 0
    checkpoint_every: int = 200  # steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """Where a world is built: its preset, its working folder and the device."""

    preset: Preset
    folder: Path
    device: torch.device

    @property
    def data(self) -> Path:
        """Folder of the rendered training sets, another one as soon as drawings or captions change."""
        return self.folder / f"data-{drawings_hash()}"

    def settings(self, name: str) -> tuple[int, ...]:
        """A stage's steps and batch."""
        return getattr(self.preset, name.removesuffix("_b"))

    def weights(self, name: str, *upstream: nn.Module) -> Path:
        """File of a stage's weights, another one as soon as its settings, its code, its data or the models it stands on
        change."""
        settings = self.settings(name), self.preset.seed, self.preset.training, self.preset.threads
        stands_on = [tensor_hash(model.state_dict().items()) for model in upstream]
        code = [(Path(__file__).parent / file).read_text(encoding="utf-8") for file in CODE]
        key = content_hash(*settings, self.preset.wide, self.data.name, *stands_on, *code)
        return self.folder / f"{name}-{key}.safetensors"

    def checkpoint(self, name: str, *upstream: nn.Module, phase: str = "") -> dict[str, object]:
        """What `fit` needs to go on where a stage, or one phase of it, was stopped."""
        path = self.weights(name, *upstream).with_suffix(f"{phase and '.' + phase}.checkpoint.safetensors")
        return {"name": f"{name} {phase}".strip(), "path": path, "checkpoint_every": self.preset.checkpoint_every}

    def generator(self, stream: str, step: int) -> torch.Generator:
        """A CPU generator for one step of one stream, so that results repeat across devices."""
        return torch.Generator().manual_seed(int(rng(self.preset.seed, stream, step).integers(2**63)))

    def choice(self, stream: str, step: int, n: int, size: int) -> np.ndarray:
        """`size` indices below n for one step of one stream."""
        return rng(self.preset.seed, stream, step).integers(0, n, size)

    @property
    def layout(self) -> torch.memory_format:
        """Memory order of pictures: plain on a CPU, where it measured a fifth faster, channels last on a GPU."""
        return torch.channels_last if self.device.type == "cuda" else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """bfloat16 on a GPU, float32 on the CPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def seeded(site: Site, name: str, build: Callable[..., M], *arguments: object) -> M:
    """A model with weights initialized from the world's seed, on the device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng(site.preset.seed, f"init {name}").integers(2**31)))
        model = build(*arguments)
    return model.to(device=site.device, memory_format=site.layout)


def to_input(site: Site, pictures: np.ndarray) -> Tensor:
    """`to_batch` on the site's device, in its memory order."""
    return to_batch(pictures, site.device).contiguous(memory_format=site.layout)


def train_vae(site: Site) -> tuple[AutoencoderKL, Fitted]:
    """Reconstruction, the characters weighted twice, plus a light KL.

    A third of each batch comes from beyond the training population: Stable Diffusion's autoencoder, too, has
    seen more than any one character.
    """
    steps, size = site.preset.vae
    vae = seeded(site, "vae", make_vae)
    counts = {"training": size - size // 3, "wide": size // 3}
    pictures = {kind: load(site.data, kind, getattr(site.preset, kind)) for kind in counts}
    masks = {kind: load(site.data, f"{kind}_masks", getattr(site.preset, kind)) for kind in counts}
    masks["wide"] = masks["wide"].max(1)

    def loss(step: int) -> Tensor:
        rows = {kind: site.choice(f"vae {kind}", step, len(pictures[kind]), n) for kind, n in counts.items()}
        x = to_input(site, np.concatenate([pictures[kind][rows[kind]] for kind in counts]))
        front = torch.from_numpy(np.concatenate([masks[kind][rows[kind]] for kind in counts])).to(site.device)
        with site.autocast():
            posterior = vae.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=site.generator("vae noise", step)).to(site.device)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        kl = 0.5 * (posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        weights = 1 + front[:, None].float() / 255  # characters count twice
        error = (decoded - x).square() + 0.1 * (decoded - x).abs()
        return (weights * error).sum() / weights.sum() / 3 + 2e-4 * kl

    fitted = fit(**site.checkpoint("vae"), module=vae, loss=loss, steps=steps, learning_rate=2e-3, ema_decay=0.995)
    means = torch.cat([encode(site, vae, pictures["training"][i : i + 200])[0] for i in range(0, 2000, 200)])
    normalise_latents(vae, means.mean((0, 2, 3)), means.std((0, 2, 3)))
    return vae, fitted


@torch.no_grad()
def encode(site: Site, vae: AutoencoderKL, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents [n, 4, 16, 16] of uint8 pictures."""
    posterior = vae.encode(to_input(site, pictures)).latent_dist
    return posterior.mean, posterior.std


def latents(site: Site, vae: AutoencoderKL) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the training pictures' latents [n, 4, 16, 16], float16; kept on disk."""
    key = content_hash(site.data.name, site.preset.training, tensor_hash(vae.state_dict().items()))
    path = site.folder / f"latents-{key}.safetensors"
    if not path.exists():
        pictures = load(site.data, "training", site.preset.training)
        parts = [encode(site, vae, pictures[i : i + 200]) for i in range(0, len(pictures), 200)]
        write_tensors(path, {name: torch.cat([p[k] for p in parts]).half() for k, name in enumerate(("mean", "std"))})
    found = load_file(path)
    return found["mean"].to(site.device), found["std"].to(site.device)


def train_unet(
    site: Site,
    name: str,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    *,
    start: UNet2DConditionModel | None = None,
    before: int = 0,
) -> tuple[UNet2DConditionModel, Fitted]:
    """Epsilon prediction (DDPM, arXiv 2006.11239, equation 14) on latents; one caption in ten is empty; EMA weights.

    Two phases make a short training go further. Where things are is decided while the picture is nearly all noise, so
    the layout phase draws noisy timesteps more often (in proportion to t) and divides the loss by the share of the
    picture in the input's variance, which makes it that of the velocity (Salimans and Ho, arXiv 2202.00512, section
    4). The detail phase goes on from its averaged weights with a new warm-up and decay, all timesteps alike, and
    weights halfway (in logarithms) to epsilon's. Each batch covers the timesteps evenly. The UNet starts as the
    identity (`start_as_identity`), or from `start`, which has seen `before` steps of these pictures and is trained in
    place.
    """
    layout, detail, size = site.preset.unet
    unet, scheduler = start or seeded(site, name, make_unet, name), make_scheduler()
    upstream = [vae, text_encoder] if start is None else [vae, text_encoder, start]
    places = {phase: site.checkpoint(name, *upstream, phase=phase) for phase in ("layout", "detail")}
    kept = scheduler.alphas_cumprod.to(site.device)
    tokens = load(site.data, "tokens", site.preset.training)
    mean, deviation = latents(site, vae)
    empty = torch.from_numpy(np.asarray(make_tokenizer()("", padding="max_length").input_ids))
    log.info("%s: latents have mean %.3f and deviation %.3f", name, mean.float().mean(), mean.float().std())

    def loss(step: int, power: float, skew: float) -> Tensor:
        rows = site.choice(f"{name} data", step, len(mean), size)
        columns = site.choice(f"{name} caption", step, CAPTIONS, size)
        ids = torch.from_numpy(tokens[rows, columns].astype(np.int64))
        g = site.generator(f"{name} noise", step)
        ids[torch.rand(size, generator=g) < 0.1] = empty
        drawn = [torch.randn(size, *mean.shape[1:], generator=g).to(site.device) for _ in range(2)]
        evenly = (torch.arange(size) + torch.rand(size, generator=g)) / size
        timesteps = (1000 * evenly**skew).long().clamp(max=999).to(site.device)
        clean = mean[rows].float() + deviation[rows].float() * drawn[0]
        noisy = scheduler.add_noise(clean, drawn[1], timesteps)
        with torch.no_grad():
            states = text_encoder(ids.to(site.device)).last_hidden_state
        with site.autocast():
            predicted = unet(noisy.contiguous(memory_format=site.layout), timesteps, states).sample
        error = (predicted.float() - drawn[1]).square().mean((1, 2, 3))
        return (kept[timesteps] ** -power * error).mean()

    def phase(which: str, steps: int, first: int, power: float, skew: float) -> Fitted:
        return fit(
            **places[which],
            module=unet,
            loss=lambda step: loss(first + step, power, skew),
            steps=steps,
            learning_rate=1e-3,
            ema_decay=0.999,
        )

    phases = [
        phase("layout", layout, before, power=1.0, skew=0.5),
        phase("detail", detail, before + layout, power=0.5, skew=1.0),
    ]
    whole = {key: sum(getattr(one, key) for one in phases) for key in ("steps", "seconds")}
    return unet, dataclasses.replace(phases[-1], **whole)
