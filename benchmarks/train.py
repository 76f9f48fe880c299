"""One training of the benchmark in a process of its own: `python -m benchmarks.train inversion 8 100`."""

from __future__ import annotations

import sys

from helpers.concepts import load_concept
from helpers.config import FinetuneConfig, InversionConfig
from helpers.finetune import finetune
from helpers.inversion import invert
from helpers.models import image_size, load_pipeline

IMAGES = 5


def main(method: str, runs: int, steps: int) -> None:
    """Train `runs` runs of a method together for some steps of 4, at learning rates of their own."""
    pipeline = load_pipeline("chibi")
    images = load_concept("alba", size=image_size(pipeline)).images[:IMAGES]
    common = {"steps": steps, "batch_size": 4, "template_set": "object"}
    if method == "inversion":
        rates = [5e-3 * (k + 1) for k in range(runs)]
        invert(
            pipeline,
            images,
            configs=[InversionConfig(class_word="character", learning_rate=rate, **common) for rate in rates],
        )
    else:
        rates = [1e-4 * (k + 1) for k in range(runs)]
        configs = [FinetuneConfig(subject="character", learning_rate=rate, **common) for rate in rates]
        finetune(pipeline, images, configs=configs)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
