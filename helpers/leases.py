"""Leases: of several processes, on one machine or on many that share a folder, one does a piece of work.

A lease is a file that only one process can create. It says who holds it; while the holder lives it
is touched again and again. A holder on this machine that is gone, or one elsewhere that has not
touched its lease for long, has lost it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

LEASES = ".leases"
"""Folder of the leases in a store."""
BEAT = 20.0
"""Seconds between two touches."""
LOST_AFTER = 15 * BEAT
"""Seconds without a touch after which a holder on another machine has lost its lease; clocks may differ by less."""


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Hold the lease at `path` while the block lasts; yields False if another living process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": psutil.Process().create_time()}
    held = _create(path, mine) or (_free(path) and _create(path, mine))
    if not held:
        yield False
        return
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, done), daemon=True)
    beating.start()
    try:
        yield True
    finally:
        done.set()
        beating.join()
        path.unlink(missing_ok=True)


def _create(path: Path, mine: dict) -> bool:
    """Whether the lease could be created: it appears with its content or not at all."""
    part = path.with_name(f".{mine['host']}-{mine['pid']}-{threading.get_ident()}-{path.name}")
    part.write_text(json.dumps(mine), encoding="utf-8")
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _free(path: Path) -> bool:
    """Take an abandoned lease away; False if its holder lives, or another process was faster."""
    try:
        before = path.stat()
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return not path.exists()
    if not abandoned(holder, before.st_mtime):
        return False
    gone = path.with_name(f".{socket.gethostname()}-{os.getpid()}-gone-{path.name}")
    try:
        os.rename(path, gone)
    except OSError:
        return False
    ours = gone.stat().st_ino == before.st_ino
    if not ours:  # between our look and our rename somebody else took it over: give it back
        os.link(gone, path)
    gone.unlink()
    if ours:
        log.info("%s was held by process %s on %s, which is gone", path.name, holder.get("pid"), holder.get("host"))
    return ours


def abandoned(holder: dict, touched: float) -> bool:
    """Whether a lease's holder is gone; `touched` is when it was touched last, seconds since the epoch."""
    if holder.get("host") != socket.gethostname():
        return time.time() - touched > LOST_AFTER
    try:
        return psutil.Process(holder.get("pid")).create_time() != holder.get("since")
    except psutil.NoSuchProcess:
        return True


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        try:
            os.utime(path)
        except FileNotFoundError:
            log.warning("the lease %s was taken away", path.name)
            return
