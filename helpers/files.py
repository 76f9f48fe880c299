"""Files that are either whole or not there: written aside, then renamed into place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The project's folder: notebooks/, helpers/, data/ and reports/ are in it."""


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` if nothing failed.

    The name keeps its suffix, because writers such as Pillow and pandas look at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the place of `folder` if nothing failed, else the old one stays."""
    part, old = folder.with_name(folder.name + ".aside"), folder.with_name(folder.name + ".old")
    if old.exists() and not folder.exists():  # killed between the two renames
        os.replace(old, folder)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, all or nothing."""
    with aside(path) as part:
        part.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with Unix line ends, all or nothing."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON, all or nothing; NaN and infinity are refused, as JSON has no such."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(path, text + "\n")


def output_name(name: str) -> str:
    """Return a name that may become part of an output path, or refuse it.

    Where a name comes from a user, this is what keeps a report inside its folder.
    """
    forbidden = set('/\\:*?"<>|\0\n\r\t')
    if not name.strip(" .") or name.startswith(".") or forbidden & set(name):
        raise ValueError(
            f"{name!r} cannot name an output file: use letters, digits, spaces, '-' and '_', "
            "without a separator and without a dot in front."
        )
    return name


def out_folder(out: str, *, profile: str) -> Path:
    """Return the folder a notebook writes to: `out`, or reports/<profile> where that is empty."""
    return Path(out) if out else ROOT / "reports" / output_name(profile)
