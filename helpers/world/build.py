"""Build the chibi world: `python -m helpers.world.build`. Kill it at any point and start it again."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel

from helpers.files import ROOT, write_json
from helpers.models import CHIBI
from helpers.world.card import history, write_card
from helpers.world.clip import train_clip
from helpers.world.export import as_reloaded, save_clip, save_pipeline, save_unet, text_tower
from helpers.world.fit import Fitted, write_tensors
from helpers.world.instruments import READER, make_scorer, save_reader, save_scorer, train_reader, train_scorer
from helpers.world.networks import make_clip, make_unet, make_vae
from helpers.world.reader import Reader
from helpers.world.rendered import render_all
from helpers.world.stages import Preset, Site, train_unet, train_vae
from helpers.world.vocabulary import make_tokenizer

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)
BEGUN = "further-"  # begins the names of files that further rounds start from
STAGES = ("vae", "clip", "scorer", "unet", "reader", "unet_b")
CPU = Preset(
    training=60_000,
    wide=40_000,
    vae=(5000, 16),
    clip=(2200, 96),
    scorer=(700, 160),
    reader=(5000, 64),
    unet=(8000, 2000, 48),
)
PRESETS = {
    "cpu": CPU,  # 3 hours on 2 cores
    "further": dataclasses.replace(CPU, unet=(500, 5000, 48)),  # 35 minutes, for --further
    "gpu": Preset(
        training=120_000,
        wide=80_000,
        vae=(8000, 128),
        clip=(4000, 1024),
        scorer=(4000, 1024),
        reader=(8000, 256),
        unet=(8000, 16_000, 512),
    ),
    "tiny": Preset(
        training=2000,
        wide=2000,
        vae=(12, 8),
        clip=(12, 16),
        scorer=(12, 16),
        reader=(12, 8),
        unet=(6, 6, 8),
        checkpoint_every=3,
    ),
}


def build(
    *,
    preset: str,
    device: str,
    out: Path,
    work: Path,
    workers: int,
    reuse: Sequence[str] = (),
    further: Sequence[str] = (),
    with_unet_b: bool = False,
) -> None:
    """Train every stage that is missing, in order; put all of them into `out` when the last one is trained.

    Stages in `reuse` are taken from `out`. Stages in `further` start from the ones in `out`, whatever those were
    trained with: what a long training has learned of pictures is kept when, say, the text encoder is a new one.
    """
    site = Site(preset=PRESETS[preset], folder=work / preset, device=torch.device(device))
    torch.set_num_threads(site.preset.threads)
    tokenizer, facts = make_tokenizer(), {}
    known = stages_of(out) if (out / "training.json").exists() else {}

    def stage(name: str, empty: Callable[[], M], train: Callable[[], tuple[M, Fitted]], *upstream: nn.Module) -> M:
        if name in reuse:
            model, facts[name] = exported(out, name, empty)
        else:
            model, fitted = finished(site.weights(name, *upstream), name, empty, train)
            facts[name] = fitted | {"preset": preset, "settings": site.settings(name), "seed": site.preset.seed}
        return as_reloaded(model.to(site.device))

    def longer(name: str, empty: Callable[[], M], train: Callable[..., tuple[M, Fitted]], *upstream: nn.Module) -> M:
        if name not in further:
            return stage(name, empty, lambda: train(*upstream), *upstream)
        start, earlier = begun(site.folder / f"{BEGUN}{name}.safetensors", out, name, empty)
        start = start.to(site.device, memory_format=site.layout)
        before = sum(one["steps"] for one in history(earlier))
        model = stage(name, empty, lambda: train(*upstream, start=start, before=before), *upstream, start)
        facts[name]["after"] = earlier
        return model

    render_all(folder=site.data, training=site.preset.training, wide=site.preset.wide, workers=workers)
    vae = stage("vae", make_vae, lambda: train_vae(site))
    clip = stage("clip", lambda: make_clip(tokenizer), lambda: train_clip(site))
    scorer = stage("scorer", make_scorer, lambda: train_scorer(site))
    encoder = text_tower(clip).to(site.device).requires_grad_(False)
    unet = longer("unet", lambda: make_unet("unet"), partial(train_unet, site, "unet"), vae, encoder)
    reader = longer("reader", lambda: Reader(**READER), partial(train_reader, site), vae)
    if with_unet_b:
        other = longer("unet_b", lambda: make_unet("unet_b"), partial(train_unet, site, "unet_b"), vae, encoder)
        save_unet(out / "unet_b", other)
    save_clip(out / "clip", clip, tokenizer)
    save_scorer(out / "scorer", scorer)
    save_pipeline(out / "pipeline", vae=vae, clip=clip, tokenizer=tokenizer, unet=unet)
    save_reader(out / "reader", reader)
    write_json(out / "training.json", {"stages": {**known, **facts}})  # a unet_b that was not asked for stays as it was


def begun(path: Path, out: Path, name: str, empty: Callable[[], M]) -> tuple[M, dict[str, Any]]:
    """The model a further round starts from and how that was trained, kept at `path` until the round is over: a build
    that is started again goes on from the same one, also when `out` holds the new one already."""
    if not path.exists():
        model, facts = exported(out, name, empty)
        write_tensors(path, model.state_dict(), {"fitted": json.dumps(facts)})
    log.info("%s: this round starts from %s; take it away to begin another one", name, path)
    return kept(path, empty)


def kept(path: Path, empty: Callable[[], M]) -> tuple[M, dict[str, Any]]:
    """A model and how it was trained, as written with its facts."""
    model = empty()
    model.load_state_dict(load_file(path))
    with safe_open(path, framework="pt") as file:
        return model, json.loads(file.metadata()["fitted"])


def finished(
    path: Path, name: str, empty: Callable[[], M], train: Callable[[], tuple[M, Fitted]]
) -> tuple[M, dict[str, Any]]:
    """A stage's model and how it went: read if its weights are there, else trained and written."""
    if not path.exists():
        model, fitted = train()
        write_tensors(path, model.state_dict(), {"fitted": json.dumps(dataclasses.asdict(fitted))})
        return model, dataclasses.asdict(fitted)
    log.info("%s: already trained, read from %s", name, path)
    return kept(path, empty)


def stages_of(out: Path) -> dict[str, Any]:
    """How the models in `out` were trained, by stage."""
    return json.loads((out / "training.json").read_text(encoding="utf-8"))["stages"]


def folder_of(out: Path, name: str) -> Path:
    """Where a stage's model is exported to."""
    return out / {"vae": "pipeline/vae", "unet": "pipeline/unet"}.get(name, name)


def exported(out: Path, name: str, empty: Callable[[], M]) -> tuple[M, dict[str, Any]]:
    """A stage's model and how it went, as `build` exported it.

    Later stages are trained on weights as they are on disk, so this is the same world, not another one.
    """
    folder = folder_of(out, name)
    model = empty()
    if name == "clip":  # transformers renames weights when it saves; let it undo that
        model.load_state_dict(CLIPModel.from_pretrained(folder).state_dict())
    else:
        model.load_state_dict(load_file(next(folder.glob("*.safetensors"))))
    log.info("%s: taken from %s", name, folder)
    return model, stages_of(out)[name]


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=CHIBI)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "world", help="checkpoints and rendered pictures")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that draw")
    parser.add_argument(
        "--reuse", nargs="*", choices=STAGES, default=[], help="stages taken from --out instead of trained"
    )
    parser.add_argument(
        "--further", nargs="*", choices=("unet", "reader", "unet_b"), default=[], help="stages that go on from --out"
    )
    parser.add_argument("--unet-b", action="store_true", help="also train the second UNet")
    arguments = parser.parse_args()
    if wrong := refused(arguments):
        parser.error(wrong)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    build(
        preset=arguments.preset,
        device=arguments.device,
        out=arguments.out,
        work=arguments.work,
        workers=arguments.workers,
        reuse=arguments.reuse,
        further=arguments.further,
        with_unet_b=arguments.unet_b,
    )
    if arguments.out.resolve() == CHIBI:
        write_card(device=arguments.device)
    else:
        log.info("no card: it is measured on data/chibi only")
    for path in (arguments.work / arguments.preset).glob(f"{BEGUN}*"):
        path.unlink()


def refused(arguments: argparse.Namespace) -> str:
    """What is wrong with a command line, in a sentence; nothing if it can be done."""
    taken = [*arguments.reuse, *arguments.further]
    if both := set(arguments.reuse) & set(arguments.further):
        return f"{', '.join(sorted(both))} cannot be reused and trained further: name each once."
    if "unet_b" in taken and not arguments.unet_b:
        return "unet_b is built only with --unet-b: add it."
    if absent := [name for name in taken if not any(folder_of(arguments.out, name).glob("*.safetensors"))]:
        return f"{arguments.out} has no weights of {', '.join(absent)}: name another --out, or train them."
    if arguments.preset == "tiny" and arguments.out.resolve() == CHIBI:
        return "preset tiny is for tests and would replace the shipped models: name another --out."
    return ""


if __name__ == "__main__":
    main()
