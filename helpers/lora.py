"""LoRA (Hu et al., 2106.09685) for R runs at once: one pass through the frozen weights, R small corrections.

A module's output W x becomes W x + (alpha / rank) B_r A_r x for the samples of run r. The frozen
product is one for all runs; the corrections are one batched product each. Nothing is added to the
model: adapters are tensors, and hooks put them to work for as long as a `with` block lasts.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.files import write_bytes
from helpers.plan import generator
from helpers.train import Shapes

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CONVOLUTIONS = ("conv1", "conv2")
TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
LORA_FILE = "pytorch_lora_weights.safetensors"
Adapters = dict[str, Tensor]
"""By "<module>.down" [R, rank, in] (a convolution's [R, rank, in, k, k]) and "<module>.up" [R, out, rank]."""


def adapted_modules(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear | nn.Conv2d]:
    """The model's linear layers and convolutions whose name is, or ends with, one of the targets, as PEFT chooses them.

    Raises:
        ValueError: a target names none.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and any(f".{name}".endswith(f".{target}") for target in targets)
    }
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in found):
            raise ValueError(f"the model has no linear layer or convolution named {target!r}")
    return found


def adapter_shapes(modules: dict[str, nn.Linear | nn.Conv2d], rank: int) -> Shapes:
    """Shapes of one run's adapters, without R."""
    shapes: Shapes = {}
    for name, module in modules.items():
        out, into, *kernel = module.weight.shape
        shapes |= {f"{name}.down": (rank, into, *kernel), f"{name}.up": (out, rank)}
    return shapes


def initial_adapters(shapes: Shapes, *, seed: int) -> Adapters:
    """One run's adapters [...] before training, as PEFT starts them: A uniform in +-1/sqrt(inputs), B zero."""
    adapters = {}
    for name, shape in shapes.items():
        draw = torch.rand(shape, generator=generator(seed, f"init {name}"))
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        adapters[name] = (2 * draw - 1) * bound if name.endswith(".down") else torch.zeros(shape)
    return adapters


@contextlib.contextmanager
def attached(modules: dict[str, nn.Linear | nn.Conv2d], adapters: Adapters, *, scale: float) -> Iterator[None]:
    """Correct the modules' outputs by the adapters of R runs while the block lasts.

    The modules' inputs hold R equal blocks of samples, run after run. `scale` is alpha / rank.
    """

    def hook(down: Tensor, up: Tensor) -> Callable:
        def correct(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> Tensor:
            product = _convolved if isinstance(module, nn.Conv2d) else _multiplied
            return product(module, arguments[0], output, down.to(output.dtype), up.to(output.dtype), scale)

        return correct

    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_hook(hook(adapters[f"{name}.down"], adapters[f"{name}.up"]))
            stack.callback(handle.remove)
        yield


def _multiplied(module: nn.Linear, x: Tensor, output: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    runs = len(down)
    inner = torch.bmm(x.reshape(runs, -1, x.shape[-1]), down.mT)
    flat = torch.baddbmm(output.reshape(runs, -1, output.shape[-1]), inner, up.mT, alpha=scale)
    return flat.view_as(output)


def _convolved(module: nn.Conv2d, x: Tensor, output: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    runs = len(down)
    side_by_side = x.unflatten(0, (runs, -1)).transpose(0, 1).flatten(1, 2)  # [B, R * in, h, w]
    weights = down.flatten(0, 1), up.flatten(0, 1)[..., None, None]
    inner = F.conv2d(side_by_side, weights[0], None, module.stride, module.padding, module.dilation, runs)
    added = F.conv2d(inner, weights[1], groups=runs)
    return output + scale * added.unflatten(1, (runs, -1)).transpose(0, 1).flatten(0, 1)


def merged_norm(adapters: Adapters, *, scale: float) -> Tensor:
    """||scale B A||_F over all modules, [R]; without forming the products: ||B A||^2 = <A A^T, B^T B>."""
    names = [name.removesuffix(".down") for name in adapters if name.endswith(".down")]
    squares = []
    for name in names:
        down, up = adapters[f"{name}.down"].flatten(2), adapters[f"{name}.up"]
        squares.append(((down @ down.mT) * (up.mT @ up)).sum((1, 2)))
    return scale * torch.stack(squares).sum(0).clamp(min=0).sqrt()


def weight_norm(modules: dict[str, nn.Linear | nn.Conv2d]) -> float:
    """||W||_F over the adapted modules: the unit of relative changes."""
    return math.sqrt(sum(module.weight.double().square().sum().item() for module in modules.values()))


def save_lora(
    folder: Path,
    unet: Adapters,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str],
    text_encoder: Adapters | None = None,
) -> Path:
    """Write one run's adapters into a folder as `pytorch_lora_weights.safetensors`, for `pipe.load_lora_weights`.

    The adapter's metadata go into the file: without them diffusers takes alpha for the rank.
    """
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets))
    parts = {"unet": (unet, config)}
    if text_encoder is not None:
        parts["text_encoder"] = text_encoder, LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TEXT_ATTENTION))
    named = {}
    for part, (adapters, settings) in parts.items():
        named[f"{part}_lora_layers"] = {peft_name(key): tensor.cpu() for key, tensor in peft_layout(adapters).items()}
        named[f"{part}_lora_adapter_metadata"] = settings.to_dict()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as aside:
        StableDiffusionPipeline.save_lora_weights(aside, safe_serialization=True, **named)
        write_bytes(folder / LORA_FILE, (Path(aside) / LORA_FILE).read_bytes())  # with the permissions of other files
    return folder / LORA_FILE


def peft_layout(adapters: Adapters) -> Adapters:
    """One run's adapters in PEFT's shapes: the up weights of a convolution have a 1x1 kernel."""
    kernels = {name.removesuffix(".down") for name, tensor in adapters.items() if tensor.ndim == 4}
    return {
        name: tensor[..., None, None] if name.endswith(".up") and name.removesuffix(".up") in kernels else tensor
        for name, tensor in adapters.items()
    }


def peft_name(name: str) -> str:
    """PEFT's name of one of our tensors."""
    module, _, which = name.rpartition(".")
    return f"{module}.lora_{'A' if which == 'down' else 'B'}.weight"
