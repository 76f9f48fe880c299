"""Does the reader read generated pictures as a person does? `python -m helpers.world.eye` draws what to check.

It writes data/chibi/checked.json, 200 generated pictures with their readings, and sheets of them to look at.
Whoever looks puts into a picture's "seen" what the reader got wrong, {"object": "star"}, or {} if nothing; null is a
picture nobody looked at. The model card counts the agreement over pictures that were looked at.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from diffusers import StableDiffusionPipeline

from helpers.files import ROOT, aside, write_json
from helpers.hashing import content_hash, tensor_hash
from helpers.models import CHIBI, load_pipeline, pipeline_fingerprint
from helpers.stats import Interval
from helpers.world import measures
from helpers.world.captions import full_caption
from helpers.world.reader import Reader, load_reader, read
from helpers.world.readings import Readings, read_factor

log = logging.getLogger(__name__)
FACTORS = (
    "background",
    "object",
    "art_style",
    "hair_colour",
    "hair_style",
    "garment",
    "garment_colour",
    "place",
    "pose",
)
A_SHEET = 20


def readings_in_words(readings: Readings) -> list[dict[str, str]]:
    """What the reader says of each picture, by factor, without what it abstains from."""
    read_as = {factor: read_factor(factor, readings) for factor in FACTORS}
    return [
        {factor: str(values[i]) for factor, values in read_as.items() if values[i] is not None}
        for i in range(len(readings["count"]))
    ]


def agreement(checked: dict[str, Any]) -> dict[str, Interval]:
    """Share of readings, by factor, that whoever looked did not correct; abstentions are no readings, so that n is
    below the number of pictures where the reader abstained. Whoever looked could see the readings."""
    looked_at = [one for one in checked["pictures"] if one["seen"] is not None]
    rows = [(factor, factor not in one["seen"]) for one in looked_at for factor in one["read"]]
    by_factor = {f: np.array([right for factor, right in rows if factor == f]) for f in FACTORS}
    return {factor: measures.share(right) for factor, right in by_factor.items() if len(right)}


def fingerprint(pipeline: StableDiffusionPipeline, reader: Reader) -> str:
    """Hash of what drew the pictures and of what read them."""
    return content_hash(pipeline_fingerprint(pipeline), tensor_hash(reader.state_dict().items()))


def load_about(path: Path, models: str) -> dict[str, Any] | None:
    """What was written down about these models (their `fingerprint`), or None if nothing was, or about others."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found if found.get("models") == models else None


def load_checked(models: str) -> dict[str, Any] | None:
    """The checked pictures, or None if nobody has looked at what these models (their `fingerprint`) drew and read."""
    checked = load_about(CHIBI / "checked.json", models)
    return checked if checked and checked["checked_by"] else None


def save_sheet(path: Path, pictures: np.ndarray, said: list[dict[str, str]], first: int) -> None:
    """Pictures [n, 64, 64, 3] with their numbers and readings below them, as a PNG."""
    figure, axes = plt.subplots(4, 5, figsize=(15, 16), layout="constrained")
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(pictures):
            axis.imshow(pictures[i], interpolation="nearest")
            words = list(said[i].values())
            lines = [", ".join(words[k : k + 3]) for k in range(0, len(words), 3)]
            axis.set_title("\n".join([f"{first + i}", *lines]), fontsize=11)
    with aside(path) as part:
        figure.savefig(part, format="png", dpi=80)
    plt.close(figure)


def main() -> None:
    """Draw 200 pictures of full captions, read them, and write both down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sheets", type=Path, default=ROOT / "build" / "eye")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--guidance", type=float, default=4.0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pipeline = load_pipeline("chibi", device="cpu")
    reader = load_reader(CHIBI / "reader")
    models = fingerprint(pipeline, reader)
    if load_checked(models):
        raise SystemExit(f"{CHIBI / 'checked.json'} holds somebody's check of these weights: move it away first.")
    prompts = [full_caption(scene) for scene in measures.fresh_scenes(arguments.count)]
    pictures = measures.drawer(pipeline)(prompts, arguments.guidance)
    said = readings_in_words(read(reader, pictures))
    arguments.sheets.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(prompts), A_SHEET):
        chosen = slice(first, first + A_SHEET)
        save_sheet(arguments.sheets / f"{first:03d}.png", pictures[chosen], said[chosen], first)
    rows = [{"prompt": p, "read": s, "seen": None} for p, s in zip(prompts, said, strict=True)]
    about = {"models": models, "guidance": arguments.guidance, "checked_by": ""}
    write_json(CHIBI / "checked.json", about | {"pictures": rows})
    log.info("Look at %s, correct data/chibi/checked.json, and put who looked into its checked_by.", arguments.sheets)


if __name__ == "__main__":
    main()
