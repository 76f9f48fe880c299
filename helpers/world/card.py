"""Measure chibi from its files as reloaded: `python -m helpers.world.card` writes its card.json and README.md."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from helpers.files import write_json, write_text
from helpers.hashing import content_hash, tensor_hash
from helpers.models import CHIBI, load_pipeline
from helpers.results import entry
from helpers.scorers import load_scorer
from helpers.stats import Interval
from helpers.world import measures
from helpers.world.draw import draw
from helpers.world.eye import agreement, fingerprint, load_checked
from helpers.world.instruments import reconstruct
from helpers.world.reader import Reader, load_reader, read

log = logging.getLogger(__name__)
GUIDANCE = {"follows": 4.0, "names_follow": 4.0, "spread_tv": 1.0}
TARGETS = {
    "reader_accuracy": {"background": 0.98, "hair_colour": 0.98, "hair_style": 0.98, "object": 0.98, "art_style": 0.98},
    "reader_accuracy_reconstructed": {
        "background": 0.95,
        "hair_colour": 0.95,
        "hair_style": 0.95,
        "object": 0.95,
        "art_style": 0.95,
    },
    "reader_error": {"x_px": 1.5, "pose_deg": 12, "eye_colour_accuracy": 0.9},
    "vae_psnr_db": 27,
    "follows": {
        "background": 0.95,
        "hair_colour": 0.92,
        "place": 0.90,
        "garment_colour": 0.88,
        "art_style": 0.95,
        "object": 0.80,
        "pose": 0.85,
    },
    "names_follow": {"hair": 0.85, "eyes": 0.85, "garment": 0.85, "emblem": 0.85},
    "spread_tv": {"place": 0.10, "pose": 0.10, "hair_colour": 0.10, "background": 0.10},
    "scorer_top1_of_200": 0.5,
}


def measure(*, device: str = "auto", scale: float = 1.0) -> dict:
    """Every number of the card; `scale` shrinks the samples."""
    pipeline = load_pipeline("chibi", device=device)
    reader = load_reader(CHIBI / "reader", str(pipeline.device))
    scenes = measures.fresh_scenes(round(3000 * scale))
    pictures = np.stack([draw(scene)[0] for scene in scenes])
    rebuilt = reconstruct(pipeline.vae, pictures)
    fresh, after = (measures.reader_numbers(scenes, read(reader, p)) for p in (pictures, rebuilt))
    log.info("the reader on fresh pictures: %s", rounded(fresh))
    log.info("the reader after the VAE: %s", rounded(after))
    numbers = {
        "reader_accuracy": fresh["accuracy"],
        "reader_accuracy_reconstructed": after["accuracy"],
        "reader_error": fresh["error"],
        "reader_error_reconstructed": after["error"],
        "vae_psnr_db": measures.psnr(pictures, rebuilt),
        "scorer_top1_of_200": measures.scorer_top1(load_scorer("chibi", device=device)),
    }
    log.info("VAE and scorer: %s", rounded({key: numbers[key] for key in ("vae_psnr_db", "scorer_top1_of_200")}))
    numbers |= generated_numbers(pipeline, reader, scale)
    checked = load_checked(fingerprint(pipeline, reader))
    if checked:
        numbers["checked_by_eye"] = agreement(checked)
    if (CHIBI / "unet_b").is_dir():
        pipeline.unet = (
            UNet2DConditionModel.from_pretrained(CHIBI / "unet_b").to(pipeline.device).eval().requires_grad_(False)
        )
        numbers["unet_b"] = generated_numbers(pipeline, reader, scale / 4)  # only signs are checked on it
    return numbers


def generated_numbers(pipeline: StableDiffusionPipeline, reader: Reader, scale: float) -> dict:
    """What is measured on the pipeline's own pictures."""
    drawn = measures.drawer(pipeline)
    pictures = measures.followed(drawn, reader, per_value=max(2, round(32 * scale)), guidance=GUIDANCE["follows"])
    numbers = {"follows": measures.follows(pictures)}
    log.info("follows: %s", rounded(numbers["follows"]))
    numbers["names_follow"] = measures.names_follow(
        drawn, reader, per_name=max(1, round(8 * scale)), guidance=GUIDANCE["names_follow"]
    )
    log.info("names: %s", rounded(numbers["names_follow"]))
    numbers["spread_tv"] = measures.spread_tv(drawn, reader, n=round(4096 * scale), guidance=GUIDANCE["spread_tv"])
    log.info("spread: %s", rounded(numbers["spread_tv"]))
    return numbers


def rounded(numbers: dict) -> dict:
    """Values alone, three digits, for the log."""
    return {key: round(n.value, 3) if isinstance(n, Interval) else rounded(n) for key, n in numbers.items()}


def bounds(name: str) -> dict[str, tuple[float, bool]]:
    """For each part of a number its bound, and whether it is wanted at most (else at least); "" if it has no parts."""
    target = TARGETS[name]
    parts = target if isinstance(target, dict) else {"": target}
    return {key: (bound, name == "spread_tv" or key in ("x_px", "pose_deg")) for key, bound in parts.items()}


def parts_of(number: Interval | dict[str, Interval]) -> dict[str, Interval]:
    """A number's parts by name, "" if it has none."""
    return number if isinstance(number, dict) else {"": number}


def missed(numbers: dict[str, Any]) -> dict[str, list[str]]:
    """The bounds that measured values miss, in words, by the name of the number; intervals are not asked."""
    misses: dict[str, list[str]] = {}
    for name in (name for name in TARGETS if name in numbers):
        misses[name] = []
        for key, (bound, at_most) in bounds(name).items():
            number = parts_of(numbers[name])[key]
            if number.value > bound if at_most else number.value < bound:
                wanted = f"{'at most' if at_most else 'at least'} {bound} was wanted"
                misses[name].append(f"{(key or name).replace('_', ' ')} is {number:.3f}, {wanted}")
    return misses


def verdict(name: str, number: Interval | dict[str, Interval]) -> str:
    """Whether all bounds of a number are reached: "yes" if every interval lies on the good side of its bound, "no" if
    one lies on the bad side, else "undecided"."""
    sides = []
    for key, (bound, at_most) in bounds(name).items():
        part = parts_of(number)[key]
        sides.append((part.high <= bound, part.low > bound) if at_most else (part.low >= bound, part.high < bound))
    if any(bad for _, bad in sides):
        return "no"
    return "yes" if all(good for good, _ in sides) else "undecided"


def model_card(card: dict) -> str:
    """The card as Markdown, for people."""
    lines = [
        "# Chibi",
        "",
        "A tiny Stable-Diffusion-format world, trained by `make world` on pictures drawn by `helpers/world`;",
        "for measuring personalisation methods, not for making art.",
        "Results on chibi are results about chibi. Licence: MIT.",
        "",
        "| number | value | 95% interval | n |",
        "|---|---|---|---|",
    ]
    for name, n in flat(card["numbers"]):
        lines.append(f"| {name} | {n['value']:.3f} | {n['low']:.3f} to {n['high']:.3f} | {n['n']} {n['unit']} |")
    lines += ["", "| trained | steps | minutes | threads | loss |", "|---|---|---|---|---|"]
    for name, rounds in card["training"]["stages"].items():
        for number, one in enumerate(reversed(history(rounds)), start=1):
            time_and_loss = f"{one['seconds'] / 60:.0f} | {one['threads']} | {one['loss']:.3f}"
            lines.append(f"| {name}{f', round {number}' if number > 1 else ''} | {one['steps']} | {time_and_loss} |")
    lines += ["", "Targets missed:" if any(card["missed"].values()) else "All targets are met."]
    for name, found in card["missed"].items():
        lines += [f"- {name}: {line}" for line in found]
        lines += [f"  Why: {card['reasons'].get(name, 'nobody has written it yet.')}"] if found else []
    return "\n".join([*lines, ""])


def history(facts: dict[str, Any] | None) -> list[dict[str, Any]]:
    """How a model was trained, and what it went on from, latest first."""
    return [facts, *history(facts.get("after"))] if facts else []


def flat(numbers: dict, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """The entries of nested numbers with their full names."""
    for key, inner in numbers.items():
        if "value" in inner:
            yield prefix + key, inner
        else:
            yield from flat(inner, f"{prefix}{key} ")


def sizes() -> dict[str, int]:
    """Bytes of every weights file below data/chibi."""
    return {path.relative_to(CHIBI).as_posix(): path.stat().st_size for path in sorted(CHIBI.rglob("*.safetensors"))}


def models_hash() -> str:
    """Hash of the weights that the card is about, all as loaded."""
    pipeline, reader, scorer = load_pipeline("chibi"), load_reader(CHIBI / "reader"), load_scorer("chibi")
    other = [tensor_hash(load_file(path).items()) for path in sorted(CHIBI.glob("unet_b/*.safetensors"))]
    return content_hash(fingerprint(pipeline, reader), scorer.fingerprint, *other)


def load_reasons(about: dict) -> dict[str, str]:
    """Why targets are missed, by the name of the number: what somebody wrote into reasons.json about this training."""
    path = CHIBI / "reasons.json"
    written = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return written["reasons"] if written.get("training") == content_hash(about) else {}


def main() -> None:
    """Read the command line, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the samples, 1 for the card that is committed"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    write_card(device=arguments.device, scale=arguments.scale)


def write_card(*, device: str = "auto", scale: float = 1.0) -> None:
    """Measure, and write card.json and README.md beside the models."""

    measured = measure(device=device, scale=scale)
    numbers = entry(measured)
    about = json.loads((CHIBI / "training.json").read_text(encoding="utf-8"))
    card = {
        "numbers": numbers,
        "missed": missed(measured),
        "reasons": load_reasons(about),
        "training": about,
        "models": models_hash(),
        "bytes": sizes(),
        "guidance": GUIDANCE,
        "solver_steps": 20,
    }
    write_json(CHIBI / "card.json", card)
    write_text(CHIBI / "README.md", model_card(card))
    log.info("written: %s", CHIBI / "card.json")


if __name__ == "__main__":
    main()
