"""Is there a tradeoff to study? A pilot: inversion at several learning rates, identity and edits read together.

`python -m helpers.world.pilot` writes data/chibi/pilot.json. The reports measure this with care; the pilot only
asks whether the world is entangled enough for the question to exist.
"""

from __future__ import annotations

import argparse
import itertools
import logging

import numpy as np
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers.concepts import load_concept
from helpers.config import InversionConfig, SamplingConfig
from helpers.files import write_json
from helpers.inversion import invert
from helpers.models import CHIBI, load_pipeline
from helpers.results import entry
from helpers.sample import sample
from helpers.stats import jackknife
from helpers.world import scene as w
from helpers.world.captions import BACKGROUND_PHRASES, shown
from helpers.world.eye import fingerprint
from helpers.world.measures import NEAR
from helpers.world.reader import Reader, load_reader, read

log = logging.getLogger(__name__)
CONCEPTS = ("alba", "cyra", "echo")
RATES = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
EDITS = {
    **{f"an anime illustration of S* {phrase[0]}": ("background", name) for name, phrase in BACKGROUND_PHRASES.items()},
    **{f"an anime illustration of S* next to a {name}": ("object", name) for name in shown("object")},
}


def identity_right(readings: dict[str, np.ndarray], character: w.Character) -> np.ndarray:
    """Pictures [n] whose hair and garment have the character's colours, within an RGB distance of NEAR."""
    hair = np.linalg.norm(readings["hair_colour_0"] - np.array(character.hair_colour), axis=1)
    garment = np.linalg.norm(readings["garment_colour_0"] - np.array(character.garment_colour), axis=1)
    return (hair <= NEAR) & (garment <= NEAR)


def joint_success(
    pipeline: StableDiffusionPipeline, reader: Reader, rows: Tensor, character: w.Character, *, count: int, seed: int
) -> dict[str, np.ndarray]:
    """For each picture of each edit prompt whether the edit, the identity, and both are read right; arrays [n]."""
    jobs = [(prompt, wanted, i) for prompt, wanted in EDITS.items() for i in range(count)]
    config = SamplingConfig(batch_size=min(64, len(jobs)), seed=seed)
    images = sample(pipeline, [job[0] for job in jobs], indices=[job[2] for job in jobs], config=config, rows=rows)
    readings = read(reader, images.permute(0, 2, 3, 1).numpy())
    edit = np.array([readings[factor][n] == value for n, (_, (factor, value), _) in enumerate(jobs)])
    identity = identity_right(readings, character)
    return {"edit": edit, "identity": identity, "both": edit & identity}


def pilot(*, steps: int, count: int, device: str = "auto", seed: int = 0) -> dict:
    """Shares of edit, identity and both right by learning rate, and the largest fall of "both" between two rates.

    The interval of the fall is over concepts at these two rates; that they were chosen is not in it.
    """
    pipeline = load_pipeline("chibi", device=device)
    reader = load_reader(CHIBI / "reader", str(pipeline.device))
    shares: dict[float, dict[str, list[float]]] = {rate: {"edit": [], "identity": [], "both": []} for rate in RATES}
    for name in CONCEPTS:
        concept = load_concept(name, size=w.SIZE)
        character = w.from_json(concept.scenes[0]).figures[0].character
        for rate in RATES:
            config = InversionConfig(class_word="character", learning_rate=rate, steps=steps, template_set="anime")
            learned = invert(pipeline, concept.images, config=config)
            right = joint_success(pipeline, reader, learned.rows, character, count=count, seed=seed)
            for key, values in right.items():
                shares[rate][key].append(float(values.mean()))
            log.info("%s at %g: %s", name, rate, {key: f"{values.mean():.2f}" for key, values in right.items()})
    by_rate = {
        f"{rate:g}": {key: over_concepts(values) for key, values in found.items()} for rate, found in shares.items()
    }
    both = {rate: np.array(found["both"]) for rate, found in shares.items()}
    before, after = max(itertools.combinations(RATES, 2), key=lambda pair: (both[pair[0]] - both[pair[1]]).mean())
    fall = {"from_rate": before, "to_rate": after, **over_concepts(list(both[before] - both[after]))}
    return {
        "by_rate": by_rate,
        "largest_fall_of_both": fall,
        "steps": steps,
        "images_a_prompt": count,
        "seed": seed,
        "guidance": SamplingConfig().guidance_scale,
        "models": fingerprint(pipeline, reader),
    }


def over_concepts(shares: list[float]) -> dict:
    """Mean share with its interval over concepts, as an entry of a result."""
    values = np.array(shares)
    return entry(jackknife(lambda chosen: float(values[chosen].mean()), n=len(values), unit="concepts"))


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
