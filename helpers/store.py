"""The run store: one folder a run, named by its hash; a run is whole or it is not there.

A run's files are written aside, result.json last with the digest of each of them, and the folder is
renamed into place. So a killed process leaves nothing that looks like a run, and a file that was cut
off later is found out when it is read.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save
from torch import Tensor

from helpers.config import InputError
from helpers.files import ROOT, folder_aside, write_json
from helpers.results import machine

log = logging.getLogger(__name__)

RUNS = Path(os.environ.get("NEAR_THE_PIVOT_RUNS") or ROOT / "data" / "runs")
"""The store; the variable sets another one, as tests of notebooks do."""
COMMITTED = ROOT / "reports" / "full"
RESULT = "result.json"
FINISHED, FAILED = "finished", "failed"


class Run:
    """A folder of the store as it is being written: each method adds a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def config(self, config: Mapping[str, Any]) -> None:
        """What was asked for, as config.json."""
        write_json(self.folder / "config.json", dict(config))

    def metrics(self, rows: pd.DataFrame) -> None:
        """One line a logged step, as metrics.jsonl."""
        rows.to_json(self.folder / "metrics.jsonl", orient="records", lines=True, double_precision=15)

    def checkpoint(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Rows and adapters after a number of updates, as checkpoints/<step>.safetensors."""
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        (self.folder / "checkpoints" / f"{step:06d}.safetensors").write_bytes(save(whole))

    def scores(self, rows: pd.DataFrame) -> None:
        """One row an image, as scores.parquet."""
        rows.to_parquet(self.folder / "scores.parquet")

    def vectors(self, vectors: Tensor) -> None:
        """[n, D] of the images, in the order of the rows, as vectors.safetensors."""
        (self.folder / "vectors.safetensors").write_bytes(save({"vectors": vectors.contiguous()}))

    def sheet(self, content: bytes) -> None:
        """One contact sheet, as samples.png."""
        (self.folder / "samples.png").write_bytes(content)


@contextmanager
def written(store: Path, run: str, *, seconds: float = 0.0, **facts: Any) -> Iterator[Run]:
    """Yield a run to fill; it is in the store, finished, when the block has ended.

    Args:
        store: folder of all runs.
        run: the hash.
        seconds: what it took to make; what the writing takes is not counted.
        facts: what else result.json should say, such as the peak of the memory.

    If the block fails the store is as it was.
    """
    with folder_aside(store / run) as part:
        yield Run(part)
        _conclude(part, FINISHED, seconds=seconds, **facts)


def write_failure(
    store: Path, run: str, config: Mapping[str, Any], error: str, *, metrics: pd.DataFrame | None = None, **facts: Any
) -> None:
    """Record that a run was tried and failed, why, and what is known of its steps."""
    with folder_aside(store / run) as part:
        Run(part).config(config)
        if metrics is not None:
            Run(part).metrics(metrics)
        _conclude(part, FAILED, error=error, **facts)


def _conclude(folder: Path, status: str, **facts: Any) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {path.relative_to(folder).as_posix(): digest(path) for path in files}
    for path in files:
        with path.open("r+b") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before what it names
    write_json(folder / RESULT, {"status": status, **facts, **machine(), "files": digests})


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def room_on_disk(store: Path) -> Iterator[None]:
    """Say a full disk in one sentence (InputError); what was finished before is intact."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"the disk of {store} is full: make room and run the same command again; all finished runs are intact."
        ) from error


def status(store: Path, run: str) -> str:
    """FINISHED, FAILED, or nothing for a run that is not there or whose files were damaged, which is to be redone."""
    folder = store / run
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        whole = all(digest(folder / name) == known for name, known in found["files"].items())
    except FileNotFoundError:
        whole = not folder.exists()
        found = {"status": ""}
    except (ValueError, KeyError, TypeError):
        whole = False
    if whole:
        return found["status"]
    log.warning("the run %s is damaged: it has to be made again", run)
    return ""


@functools.cache
def committed_runs(folder: Path = COMMITTED) -> frozenset[str]:
    """Hashes of the runs whose rows are in committed reports."""
    tables = (pd.read_parquet(path) for path in sorted(folder.glob("*.parquet")))
    return frozenset(run for rows in tables if "run" in rows for run in rows["run"].unique())


def load_runs(
    store: Path = RUNS, *, committed: Path | None = COMMITTED, runs: Collection[str] | None = None
) -> pd.DataFrame:
    """All rows of all finished runs as one table, with the columns run, seed and, from config.json, one a field.

    One row is one picture. `editability` and `diversity` are of all pictures of a prompt in its run and stand in each
    of their rows. `training.learning_rate` is the token's of an inversion, the adapters' of a finetuning (`method`).

    Rows of committed reports (parquet files with a column run) are among them; a run that is in both counts once.

    Args:
        store: folder of all runs.
        committed: folder of reports; None leaves them out.
        runs: hashes of those that are wanted; all if they are not given.
    """
    parts = [] if committed is None else [pd.read_parquet(path) for path in sorted(committed.glob("*.parquet"))]
    parts = [rows for rows in parts if "run" in rows]
    known = {run for rows in parts for run in rows["run"].unique()}
    for folder in sorted(store.iterdir()) if store.is_dir() else ():
        if (
            "." in folder.name
            or folder.name in known
            or (runs is not None and folder.name not in runs)
            or not (folder / "scores.parquet").exists()
            or status(store, folder.name) != FINISHED
        ):
            continue
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        fields = flat(config)
        fields["seed"] = fields.get("training.seed")
        parts.append(pd.read_parquet(folder / "scores.parquet").assign(run=folder.name, **fields))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"run": []})
    return table if runs is None else table[table["run"].isin(runs)].reset_index(drop=True)


def load_scores(store: Path, run: str) -> pd.DataFrame:
    """Rows of a finished run, one an image."""
    return pd.read_parquet(store / run / "scores.parquet").reset_index(drop=True)


def load_metrics(store: Path, run: str) -> pd.DataFrame:
    """One row a logged step of a finished run."""
    return pd.read_json(store / run / "metrics.jsonl", orient="records", lines=True)


def load_vectors(store: Path, run: str) -> Tensor:
    """Unit vectors [n, D] float32 of a finished run's images, in the order of its rows."""
    return load_file(store / run / "vectors.safetensors")["vectors"].float()


def load_checkpoint(store: Path, run: str, step: int) -> dict[str, Tensor]:
    """Rows and adapters of a finished run after a number of updates."""
    return load_file(store / run / "checkpoints" / f"{step:06d}.safetensors")


def flat(config: Mapping[Any, Any], prefix: str = "", *, between: str = ".") -> dict[str, Any]:
    """Nested mappings as one, names joined, lists as text: {"a": {"b": [1, 2]}} is {"a.b": "1 2"}."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}{between}", between=between)
        else:
            found[f"{prefix}{name}"] = " ".join(map(str, value)) if isinstance(value, list) else value
    return found
