"""Time what the notebooks wait for: `python -m benchmarks.bench` writes build/bench.json."""

import logging
import statistics
import sys
import time
from collections.abc import Callable

import torch

from helpers import files
from helpers.config import SamplingConfig
from helpers.models import load_pipeline
from helpers.sample import sample
from helpers.world.draw import draw
from helpers.world.sampling import training_scene

REPEATS = 5
PROMPT = "an anime illustration of a girl with blonde hair on the beach"

log = logging.getLogger(__name__)


def seconds(action: Callable[[], object]) -> float:
    """Return the median time of an action over a few repeats, after one that warms up."""
    action()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def drawing(*, images: int = 200) -> float:
    """Return the milliseconds it takes to draw one picture of the world."""
    scenes = [training_scene(index) for index in range(images)]
    return 1000 * seconds(lambda: [draw(scene) for scene in scenes]) / images


def sampling(*, images: int = 8) -> float:
    """Return the milliseconds it takes to generate one picture, in a batch, with the default solver."""
    pipeline = load_pipeline("chibi", device="auto")
    config = SamplingConfig(batch_size=images)
    return 1000 * seconds(lambda: sample(pipeline, [PROMPT] * images, indices=range(images), config=config)) / images


def main() -> int:
    """Time everything and write it down."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    numbers = {"draw_ms": drawing()}
    log.info("drawing one picture     %7.2f ms", numbers["draw_ms"])
    numbers["sample_ms"] = sampling()
    log.info("generating one picture  %7.2f ms", numbers["sample_ms"])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    target = files.ROOT / "build" / "bench.json"
    files.write_json(target, {"device": device, "repeats": REPEATS, "numbers": numbers})
    log.info("%s", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
