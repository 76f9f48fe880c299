"""Leases: of several processes, on one machine or on many that share a folder, one does a piece of work.

A lease is a file that only one process can create. It says who holds it; while the holder lives it
is touched again and again. A holder on this machine that is gone, or one elsewhere that has not
touched its lease for long, has lost it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil

log = logging.getLogger(__name__)

LEASES = ".leases"
"""Folder of the leases in a store."""
BEAT = 20.0
"""Seconds between two touches."""
LOST_AFTER = 15 * BEAT
"""Seconds without a touch after which a holder on another machine has lost its lease; clocks may differ by less."""


NOBODY = {"host": "", "pid": 0}
"""Holder of a lease that cannot be read, after the power failed; its age decides."""


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Hold the lease at `path` while the block lasts; yields False if another living process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": age_at_boot(psutil.Process()), "id": uuid4().hex}
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
        if _holder(path) == mine:  # a process that slept too long has lost it to another one
            path.unlink(missing_ok=True)


def age_at_boot(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's: the same however often the clock was set."""
    return process.create_time() - psutil.boot_time()


def _holder(path: Path) -> dict | None:
    """What the lease says; None if it is not there, NOBODY if it was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return NOBODY


def _create(path: Path, mine: dict) -> bool:
    """Whether the lease could be created: it appears with its content or not at all."""
    part = path.with_name(f".{mine['id']}-{path.name}")
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
        touched, holder = path.stat().st_mtime, _holder(path)
    except FileNotFoundError:
        return True
    if holder is None or not abandoned(holder, touched):
        return holder is None
    gone = path.with_name(f".{uuid4().hex}-gone-{path.name}")
    try:
        os.rename(path, gone)
    except FileNotFoundError:
        return False
    was_abandoned = _holder(gone) == holder
    if not was_abandoned:  # between our look and our rename somebody took it over: give it back
        with contextlib.suppress(FileExistsError):
            os.link(gone, path)
    gone.unlink()
    if was_abandoned:
        log.info("%s was held by process %s on %s, which is gone", path.name, holder["pid"], holder["host"])
    return was_abandoned


def abandoned(holder: dict, touched: float) -> bool:
    """Whether a lease's holder is gone; `touched` is when it was touched last, seconds since the epoch."""
    if holder["host"] != socket.gethostname():
        return time.time() - touched > LOST_AFTER
    try:
        process = psutil.Process(holder["pid"])
        another = abs(age_at_boot(process) - holder["since"]) > 1
        return another or process.status() == psutil.STATUS_ZOMBIE  # killed, and its parent never looked
    except psutil.NoSuchProcess:
        return True


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        try:
            os.utime(path)
        except FileNotFoundError:
            log.warning("the lease %s was taken away", path.name)
            return
