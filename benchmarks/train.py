"""One training of the benchmark in a process of its own: `python -m benchmarks.train inversion 8 100`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from helpers.concepts import load_concept
from helpers.config import FinetuneConfig, InversionConfig
from helpers.finetune import finetune
from helpers.inversion import invert
from helpers.models import image_size, load_pipeline

IMAGES = 5
BATCH = 4


def training(method: str, runs: int) -> Callable[[int], object]:
    """Trains `runs` runs of a method together, at learning rates of their own, for a number of steps of BATCH."""
    pipeline = load_pipeline("chibi")
    images = load_concept("alba", size=image_size(pipeline)).images[:IMAGES]

    def train(steps: int) -> object:
        common = {"steps": steps, "batch_size": BATCH, "template_set": "object"}
        if method == "inversion":
            rates = [5e-3 * (k + 1) for k in range(runs)]
            configs = [InversionConfig(class_word="character", learning_rate=rate, **common) for rate in rates]
            return invert(pipeline, images, configs=configs)
        rates = [1e-4 * (k + 1) for k in range(runs)]
        tuned = [FinetuneConfig(subject="character", learning_rate=rate, **common) for rate in rates]
        return finetune(pipeline, images, configs=tuned)

    return train


if __name__ == "__main__":
    training(sys.argv[1], int(sys.argv[2]))(int(sys.argv[3]))
