"""What a notebook leaves for others to read: <stem>.json with results and where they come from."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from helpers.files import ROOT, write_json
from helpers.stats import Interval

PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "peft", "numpy", "scipy", "pandas")


def entry(value: Any) -> Any:
    """A result as JSON: dataclasses by their fields, dicts of them, texts and lists as they are."""
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: entry(inner) for key, inner in value.items()}
    return value


def missing(reason: str) -> dict[str, Any]:
    """The entry of a result that needs what this run did not have."""
    return {"value": None, "reason": reason}


def verdict(number: Interval, bound: float = 0.0) -> str:
    """Whether a number, such as a difference, is above a bound: "yes", "no", or "undecided" where its interval holds
    the bound, or is over too few concepts."""
    if number.too_few:
        return "undecided"
    if number.low > bound:
        return "yes"
    return "no" if number.high < bound else "undecided"


def falls(number: Interval, bound: float = 0.0) -> str:
    """Whether a number is below a bound: "yes", "no", or "undecided" where its interval holds the bound."""
    return {"yes": "no", "no": "yes", "undecided": "undecided"}[verdict(number, bound)]


def judged(judge: Callable[[Interval], str], difference: Interval | None, reason: str) -> str | dict[str, Any]:
    """The verdict on a difference; the entry of a missing result where there is none."""
    return missing(reason) if difference is None else judge(difference)


def provenance(**facts: Any) -> dict[str, Any]:
    """Commit, versions and machine, with further facts of the run: profile, seeds, hashes."""
    return {**entry(facts), **machine()}


def machine() -> dict[str, Any]:
    """Commit, versions of what numbers depend on, and the machine."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": _git("status", "--porcelain", "--untracked-files=no") not in ("", None),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _git(*words: str) -> str | None:
    """What git says about the project; None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def write_results(path: Path, results: dict[str, Any], *, provenance: dict[str, Any]) -> None:
    """Write the results and their provenance as JSON, all or nothing."""
    write_json(path, {"results": {key: entry(value) for key, value in results.items()}, "provenance": provenance})
