"""What report 02 needs of its models and concepts before it compares anything: hashes, references, pictures to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from helpers import store
from helpers.evaluation import ON_SHEET
from helpers.files import write_bytes
from helpers.inversion_factors import ceiling_of, reach_of, style_seen
from helpers.inversion_runs import Labelled
from helpers.inversion_table import own_pictures
from helpers.perform import SHEET_WIDTH, as_png
from helpers.workbench import prompts_of, run_hash, workbench_of


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Of all runs of a report."""

    runs: Mapping[str, list[Labelled]]
    """By hash; a run that serves several sections has several labels."""
    own: pd.DataFrame
    """See inversion_table.own_pictures: of each concept and prompt."""
    reaches: Mapping[str, Mapping[str, str]]
    """See inversion_factors.reach_of: of chibi's newcomers."""
    ceilings: pd.DataFrame
    """concept, part, reach, like: how often the reader finds a newcomer's parts in its own pictures."""
    styles: Mapping[str, float]
    """Share of a style's own pictures in which the reader sees the style it knows by the concept's name."""


def prepared(labelled: Sequence[Labelled], device: str) -> Prepared:
    """Go through models and concepts, each once."""
    runs: dict[str, list[Labelled]] = {}
    own, ceilings, reaches, styles = [], [], {}, {}
    of_bench: dict[tuple, list[Labelled]] = {}
    for one in labelled:
        config = one.config
        of_bench.setdefault((config.model, config.concept, config.images), []).append(one)
    for mine in (of_bench[key] for key in sorted(of_bench)):
        bench = workbench_of(mine[0].config, device)
        for one in mine:
            runs.setdefault(run_hash(one.config, bench), []).append(one)
        name = bench.concept.name
        asked = sorted({p.text for one in mine for p in prompts_of(one.config.evaluation)[0] if p.kind != "photo"})
        own.append(own_pictures(bench.concept, bench.instruments, asked))
        if "inside_reach" in bench.concept.facts and name not in reaches and bench.instruments.look:
            reaches[name] = reach_of(bench.concept)
            ceilings.append(ceiling_of(bench.concept, bench.instruments))
        if bench.concept.facts.get("kind") == "style" and name not in styles and bench.instruments.look:
            styles[name] = style_seen(bench.concept, bench.instruments)
    return Prepared(
        runs=runs,
        own=pd.concat(own).drop_duplicates(["concept", "prompt"], ignore_index=True),
        reaches=reaches,
        ceilings=pd.concat(ceilings, ignore_index=True) if ceilings else pd.DataFrame(),
        styles=styles,
    )


def known_failures(stem: str) -> set[str]:
    """Runs that a committed report says have failed: they have no rows, and are not missing."""
    report = store.COMMITTED / f"{stem}.json"
    return set(json.loads(report.read_text(encoding="utf-8"))["results"]["failed"]) if report.is_file() else set()


def token_of(folder: Path, run: str, step: int, kept: str) -> Tensor | None:
    """Rows [K, D] that a run learned: from the store, else from a file of the committed report; None without either.

    Args:
        folder: the store.
        run: its hash.
        step: updates.
        kept: the file in the committed report, whose JSON says of which run it is.
    """
    if (folder / run / "checkpoints" / f"{step:06d}.safetensors").is_file():
        return store.load_checkpoint(folder, run, step)["rows"]
    committed = store.COMMITTED / kept
    report = committed.parent.with_suffix(".json")
    if not committed.is_file() or not report.is_file():
        return None
    tokens = json.loads(report.read_text(encoding="utf-8"))["provenance"].get("tokens", {})
    if tokens.get(committed.name) != run:
        return None
    (rows,) = load_file(committed).values()
    return rows if rows.ndim == 2 else rows[None]


def tiles_of(folder: Path, run: str, one: Labelled, prompt: str, columns: int) -> np.ndarray:
    """The first pictures [columns, S, S, 3] that a run drew of a prompt, at most ON_SHEET."""
    asked, counts = prompts_of(one.config.evaluation)
    before = 0
    for edit, count in zip(asked, counts, strict=True):
        if edit.text == prompt:
            break
        before += min(ON_SHEET, count)
    with Image.open(folder / run / "samples.png") as picture:
        return cut(picture, SHEET_WIDTH)[before : before + columns]


def cut(picture: Image.Image, columns: int) -> np.ndarray:
    """The square pictures [n, S, S, 3] of a sheet that has so many in a row."""
    pixels = np.array(picture.convert("RGB"))
    size = pixels.shape[1] // columns
    return pixels.reshape(-1, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def sheet(
    rows: Sequence[tuple[str, str]], prepared: Prepared, *, columns: int, folder: Path, kept: Path
) -> np.ndarray | None:
    """Pictures [R * columns, S, S, 3] of R runs and prompts; from the store, where they are kept too, else as kept.

    Args:
        rows: a run's hash and one of its prompts each.
        prepared: knows the runs.
        columns: pictures a row.
        folder: the store.
        kept: a PNG of the whole sheet that knows its rows; from the store where that has all runs, else from the
            committed report; None if they are in neither or it shows other rows.
    """
    known = " ".join([str(columns), *(f"{run} {prompt}" for run, prompt in rows)])
    if all((folder / run / "samples.png").is_file() for run, _ in rows):
        found = [tiles_of(folder, run, prepared.runs[run][0], prompt, columns) for run, prompt in rows]
        pictures = torch.from_numpy(np.concatenate(found)).permute(0, 3, 1, 2)
        write_bytes(kept, as_png(pictures, columns, shows=known))
        return np.concatenate(found)
    for path in (kept, store.COMMITTED / kept.parent.name / kept.name):
        if path.is_file():
            with Image.open(path) as picture:
                if picture.info.get("shows") == known:
                    tiles = cut(picture, columns)
                    write_bytes(kept, path.read_bytes())
                    return tiles
    return None
