"""A run-step of ours against a step of diffusers' own scripts: each training is a process, its start-up taken off.

The cost of a step is the difference of two trainings of different lengths over the difference of
their steps. One round measures every contender, so that ratios are paired; what is reported is the
median of the rounds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.train import IMAGES
from helpers.files import ROOT

log = logging.getLogger(__name__)
CHIBI = ROOT / "data" / "chibi" / "pipeline"
SWEEP = 8
ROUNDS = 3
SHORT, LONG = 20, 120
"""Steps of the two trainings of a script and of a single run; half of the difference is long enough for a sweep."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of batch 4 of one run."""

    seconds: float
    memory: int
    """Bytes, the peak of the process."""


def compare(method: str, diffusers: Path | None) -> dict:
    """Seconds and memory of a run-step in a sweep, alone, and of the script, with the paired ratios.

    Args:
        method: "inversion" or "finetuning".
        diffusers: a checkout of diffusers; without it the script is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for image in sorted((ROOT / "data" / "concepts" / "alba").glob("*.png"))[:IMAGES]:
            shutil.copy(image, photos)
        rounds = [one_round(method, diffusers, photos) for _ in range(ROUNDS)]
    found = {name: summary([steps[name] for steps in rounds]) for name in rounds[0]}
    for other in rounds[0].keys() - {"sweep"}:
        ratios = [steps[other].seconds / steps["sweep"].seconds for steps in rounds]
        found[f"{other}_over_sweep"] = {"median": statistics.median(ratios), "rounds": ratios}
    return found


def one_round(method: str, diffusers: Path | None, photos: Path) -> dict[str, Step]:
    """Each contender once."""
    ours = [sys.executable, "-m", "benchmarks.train", method]
    steps = {
        "sweep": step_of(lambda n: [*ours, str(SWEEP), str(n)], SHORT, SHORT + (LONG - SHORT) // 2, runs=SWEEP),
        "single": step_of(lambda n: [*ours, "1", str(n)], SHORT, LONG),
    }
    if diffusers:
        steps["script"] = step_of(lambda n: script(method, diffusers, photos, n), SHORT, LONG)
    log.info("%s: %s", method, {name: f"{1000 * step.seconds:.1f} ms" for name, step in steps.items()})
    return steps


def step_of(command: Callable[[int], Sequence[str]], short: int, long: int, *, runs: int = 1) -> Step:
    """Cost of a run-step of the training that `command` makes of a number of steps."""
    (first, _), (second, memory) = (timed(command(steps)) for steps in (short, long))
    return Step(seconds=(second - first) / (long - short) / runs, memory=memory)


def timed(command: Sequence[str]) -> tuple[float, int]:
    """Seconds that a process takes and the peak of its memory in bytes, looked at ten times a second.

    What the system itself reports in the end is of no use: it counts this process too, of which the other was forked.
    """
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as said:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": said}
        process = psutil.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, **quiet)
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
            time.sleep(0.1 if process.poll() is None else 0)
        seconds = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command[:3])} failed: {said.read().decode()[-2000:]}")
    return seconds, peak


def script(method: str, diffusers: Path, photos: Path, steps: int) -> list[str]:
    """The command line of diffusers' script for the same work."""
    common = {
        "pretrained_model_name_or_path": CHIBI,
        "resolution": 64,
        "train_batch_size": 4,
        "max_train_steps": steps,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "checkpointing_steps": 10**6,
        "output_dir": photos.parent / "out",
        "seed": 0,
    }
    own = {
        "inversion": {
            "train_data_dir": photos,
            "placeholder_token": "<s>",
            "initializer_token": "character",
            "learning_rate": 5e-3,
            "save_steps": 10**6,
        },
        "finetuning": {
            "instance_data_dir": photos,
            "instance_prompt": "a photo of character",
            "learning_rate": 1e-4,
            "rank": 4,
        },
    }
    file = {
        "inversion": "textual_inversion/textual_inversion.py",
        "finetuning": "dreambooth/train_dreambooth_lora.py",
    }
    options = [word for name, value in (common | own[method]).items() for word in (f"--{name}", str(value))]
    return [sys.executable, str(diffusers / "examples" / file[method]), *options]


def summary(steps: Sequence[Step]) -> dict[str, float]:
    """Median of the rounds."""
    return {
        "seconds": statistics.median(step.seconds for step in steps),
        "memory": statistics.median(step.memory for step in steps),
    }
