"""Time what people wait for: `python -m benchmarks.bench` writes build/bench.json.

DIFFUSERS=<checkout of diffusers> adds its example scripts as a baseline of training.
"""

import logging
import os
import statistics
import sys
import time
from pathlib import Path

import torch

from benchmarks import limits, pictures, scripts
from helpers import files
from helpers.config import InputError
from helpers.results import machine
from helpers.world.draw import draw
from helpers.world.sampling import training_scene

REPEATS = 5

log = logging.getLogger(__name__)


def drawing(*, images: int = 200) -> float:
    """Milliseconds to draw one picture of the world, the median of a few repeats."""
    scenes, times = [training_scene(index) for index in range(images)], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for scene in scenes:
            draw(scene)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times) / images


def baseline() -> Path | None:
    """The checkout named by DIFFUSERS, if one is.

    Raises:
        InputError: it has no example scripts.
    """
    named = os.environ.get("DIFFUSERS", "")
    if named and not (Path(named) / "examples" / "textual_inversion" / "textual_inversion.py").is_file():
        raise InputError(f"DIFFUSERS is {named!r}, where there is no examples/textual_inversion: name a checkout.")
    return Path(named).absolute() if named else None


def main() -> int:
    """Time everything and write it down."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        diffusers = baseline()
    except InputError as error:
        log.error("%s", error)
        return 2
    numbers = {"draw_ms": drawing()}
    log.info("drawing one picture: %.2f ms", numbers["draw_ms"])
    numbers["pictures"] = pictures.compare()
    for method in ("inversion", "finetuning"):
        numbers[method] = scripts.compare(method, diffusers)
        taken = numbers[method]["sweep"]["seconds"]
        numbers[method]["arithmetic"] = limits.compare(method, scripts.SWEEP, taken)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    target = files.ROOT / "build" / "bench.json"
    files.write_json(target, {"device": device, **machine(), "numbers": numbers})
    log.info("%s", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
