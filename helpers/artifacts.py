"""Take a run's token and LoRA out of the store: `python -m helpers.artifacts <run> <folder>`.

The files load in diffusers (`load_textual_inversion`, `load_lora_weights`); comfyui.safetensors goes into
ComfyUI's folder of embeddings.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from helpers import store
from helpers.config import InputError
from helpers.files import write_bytes
from helpers.finetune import of_part
from helpers.lora import LORA_FILE, save_lora

log = logging.getLogger(__name__)
COMFYUI_ENCODER = "clip_l"
"""ComfyUI's name of Stable Diffusion 1's text encoder; for that of 2 it takes the only tensor, whatever its name."""


def export(runs: Path, run: str, folder: Path, *, step: int = 0, placeholder: str = "<s*>") -> list[Path]:
    """Write what a run learned; returns the files, which replace those of the same names.

    Args:
        runs: the store.
        run: hash of a finished run.
        folder: where the files go.
        step: updates, one of the run's checkpoints; 0 is the last.
        placeholder: the token's name in diffusers.

    Raises:
        InputError: the run is not finished, has no such checkpoint, or learned nothing.
    """
    if store.status(runs, run) != store.FINISHED:
        raise InputError(f"run {run!r} is not finished in {runs}: name one whose result.json says so.")
    known = sorted(int(path.stem) for path in (runs / run / "checkpoints").glob("*.safetensors"))
    if not known:
        raise InputError(f"run {run!r} is the model as it was: there is nothing to export.")
    if step and step not in known:
        raise InputError(f"run {run!r} has no checkpoint after {step} updates: name one of {known}.")
    tensors = store.load_checkpoint(runs, run, step or known[-1])
    config = json.loads((runs / run / "config.json").read_text(encoding="utf-8"))
    written = []
    if "rows" in tensors and tensors["rows"].numel():
        written += [folder / "learned_embeds.safetensors", folder / "comfyui.safetensors"]
        save_learned_embeds(written[0], tensors["rows"], placeholder=placeholder)
        save_comfyui_embedding(written[1], tensors["rows"])
    if config["method"] == "finetuning":
        written.append(export_lora(folder, tensors, config["training"]))
    return written


def export_lora(folder: Path, tensors: Mapping[str, Tensor], training: Mapping[str, Any]) -> Path:
    """Write the adapters of a checkpoint with their rank and alpha."""
    settings = {name: training[name] for name in ("rank", "alpha", "targets")}
    text = of_part(tensors, "text") or None
    return save_lora(folder, of_part(tensors, "unet"), text_encoder=text, **settings)


def save_learned_embeds(path: Path, rows: Tensor, *, placeholder: str) -> None:
    """Write rows [K, D] as diffusers does (learned_embeds.safetensors), for `pipe.load_textual_inversion`."""
    vectors = rows.detach().to("cpu", torch.float32).contiguous()
    write_bytes(path, save({placeholder: vectors[0] if len(vectors) == 1 else vectors}))


def save_comfyui_embedding(path: Path, rows: Tensor) -> None:
    """Write rows [K, D] as ComfyUI reads them: by the name of the text encoder; the file's name is the token's.

    In a prompt there, embedding:<file's name> stands for all rows.
    """
    write_bytes(path, save({COMFYUI_ENCODER: rows.detach().to("cpu", torch.float32).contiguous()}))


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and export; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.artifacts", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", help="hash of a run in the store")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--runs", type=Path, default=store.RUNS, help="the store")
    parser.add_argument("--step", type=int, default=0, help="updates; 0 is the run's last checkpoint")
    parser.add_argument("--placeholder", default="<s*>", help="the token's name in diffusers")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser.parse_args(words)
    asked = arguments.placeholder
    try:
        written = export(**vars(arguments))
    except InputError as error:
        log.error("%s", error)
        return 2
    uses = {LORA_FILE: "pipe.load_lora_weights(...)", "comfyui.safetensors": "ComfyUI's folder of embeddings"}
    for path in written:
        log.info("%s: for %s", path, uses.get(path.name, f"pipe.load_textual_inversion(...), then {asked} in prompts"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
