"""Is there a tradeoff to study? A pilot: inversion at several learning rates, identity and edits read together.

`python -m helpers.world.pilot` writes data/chibi/pilot.json. The reports measure this with care; the pilot only
asks whether the world is entangled enough for the question to exist.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers.concepts import load_concept
from helpers.config import InversionConfig, SamplingConfig
from helpers.files import write_json
from helpers.inversion import invert
from helpers.models import CHIBI, load_pipeline
from helpers.prompts import EditPrompt
from helpers.results import entry
from helpers.sample import Learned, sample
from helpers.stats import mean_of_units
from helpers.world import scene as w
from helpers.world.captions import BACKGROUND_PHRASES, shown
from helpers.world.eye import fingerprint
from helpers.world.reader import Reader, load_reader, read
from helpers.world.readings import success

log = logging.getLogger(__name__)
CONCEPTS = ("alba", "cyra", "echo")
RATES = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
EDITS = tuple(
    EditPrompt(kind=factor, text=f"an anime illustration of S* {words}", asks=((factor, value),))
    for factor, said in (
        ("background", {name: phrases[0] for name, phrases in BACKGROUND_PHRASES.items()}),
        ("object", {name: f"next to a {name}" for name in shown("object")}),
    )
    for value, words in said.items()
)


def successes(
    pipeline: StableDiffusionPipeline, reader: Reader, rows: Tensor, character: w.Character, *, count: int, seed: int
) -> pd.DataFrame:
    """`readings.success` of `count` pictures of each edit prompt."""
    jobs = [(prompt, i) for prompt in EDITS for i in range(count)]
    config = SamplingConfig(batch_size=min(64, len(jobs)), seed=seed)
    texts, indices = [prompt.text for prompt, _ in jobs], [i for _, i in jobs]
    images = sample(pipeline, texts, indices=indices, config=config, learned=Learned(rows=(rows,)))
    found = read(reader, images.permute(0, 2, 3, 1).numpy())
    return success(found, [prompt for prompt, _ in jobs], character)


def pilot(*, steps: int, count: int, device: str = "auto", seed: int = 0) -> dict:
    """Shares of edit, identity and both right by learning rate, and the largest fall of "both" between two rates.

    The interval of the fall is over concepts at these two rates; that they were chosen is not in it.
    """
    pipeline = load_pipeline("chibi", device=device)
    reader = load_reader(CHIBI / "reader", str(pipeline.device))
    shares: dict[float, dict[str, list[float]]] = {rate: {"edit": [], "identity": [], "joint": []} for rate in RATES}
    for name in CONCEPTS:
        concept = load_concept(name, size=w.SIZE)
        character = w.from_json(concept.scenes[0]).figures[0].character
        common = InversionConfig(class_word=concept.class_word, steps=steps, template_set="anime", seed=seed)
        configs = [dataclasses.replace(common, learning_rate=rate) for rate in RATES]
        for rate, learned in zip(RATES, invert(pipeline, concept.images, configs=configs), strict=True):
            right = successes(pipeline, reader, learned.rows, character, count=count, seed=seed).mean()
            for key, value in right.items():
                shares[rate][key].append(float(value))
            log.info("%s at %g: %s", name, rate, {key: f"{values.mean():.2f}" for key, values in right.items()})
    by_rate = {
        f"{rate:g}": {key: over_concepts(values, least=0) for key, values in found.items()}
        for rate, found in shares.items()
    }
    both = {rate: np.array(found["joint"]) for rate, found in shares.items()}
    before, after = max(itertools.combinations(RATES, 2), key=lambda pair: (both[pair[0]] - both[pair[1]]).mean())
    fall = {"from_rate": before, "to_rate": after, "fall": over_concepts(both[before] - both[after], least=-1)}
    return {
        "by_rate": by_rate,
        "largest_fall_of_both": fall,
        "steps": steps,
        "images_a_prompt": count,
        "seed": seed,
        "guidance": SamplingConfig().guidance_scale,
        "models": fingerprint(pipeline, reader),
    }


def over_concepts(shares: Sequence[float], *, least: float) -> dict:
    """Mean of shares, or of their differences, with its interval over concepts, which ends at `least` and at 1."""
    found = mean_of_units(np.array(shares), "concepts")
    return entry(dataclasses.replace(found, low=max(found.low, least), high=min(found.high, 1.0)))


def main() -> None:
    """Read the command line, run and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--count", type=int, default=8, help="pictures of each edit prompt")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    found = pilot(steps=arguments.steps, count=arguments.count, device=arguments.device)
    write_json(CHIBI / "pilot.json", found)
    log.info("the largest fall of both between two rates: %s", found["largest_fall_of_both"])


if __name__ == "__main__":
    main()
