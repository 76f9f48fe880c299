"""Make the environment from requirements.lock: `python -m helpers.bootstrap`.

Runs on a bare Python (nothing but its standard library) and sets up again only when the lock
changed: the stamp that says 'set up' is written last, so an interrupted download starts over.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
STAMP = "near-the-pivot.stamp"
OURS = "near-the-pivot.txt"

log = logging.getLogger(__name__)


class SetupError(Exception):
    """One sentence for the person at the terminal: what is wrong, where, what to do."""


def fingerprint(lock: Path) -> str:
    """Hash the lock and the Python that serves it: what an environment is made from."""
    version = "python {}.{}\n".format(*sys.version_info)
    return hashlib.sha256(version.encode() + lock.read_bytes()).hexdigest()


def is_ready(folder: Path, lock: Path) -> bool:
    """Say whether `folder` was completely set up from this very lock."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == fingerprint(lock)


def interpreter(folder: Path) -> Path:
    """Return the environment's own Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_request(folder: Path, lock: Path) -> None:
    """Refuse what cannot work, before gigabytes are downloaded for it."""
    if sys.version_info < OLDEST:
        raise SetupError(
            "This is Python {}.{}, but Near the Pivot needs 3.11 or newer: install one and name it, "
            "as in `make reports PYTHON=python3.12`.".format(*sys.version_info)
        )
    if not lock.is_file():
        raise SetupError(f"{lock} is missing: restore it with `git checkout {lock.name}`.")
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and not (folder / "pyvenv.cfg").is_file():
        raise SetupError(f"{folder} exists and is no Python environment: name another folder with VENV=...")
    if occupied and not any((folder / mark).is_file() for mark in (OURS, STAMP)):
        raise SetupError(f"{folder} is an environment that was not made for this: name another folder with VENV=...")


def create(folder: Path) -> None:
    """Create an empty environment with pip, unless a working one is there already."""
    python = interpreter(folder)
    probe = "import pip, sys; print(*sys.version_info[:2])"
    if python.exists():
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
        if found.stdout.split() == [str(part) for part in sys.version_info[:2]]:
            return
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / OURS).write_text("An environment of Near the Pivot, which may install into it and clear it.\n")
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"Python could not create an environment in {folder} ({error}): check the free space "
            "and, on Debian or Ubuntu, install the package python3-venv."
        ) from error


def install(folder: Path, lock: Path) -> None:
    """Install exactly the locked files, each checked against its hash."""
    command = [interpreter(folder), "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", lock]
    if subprocess.run(command).returncode:
        raise SetupError(
            "pip could not install requirements.lock (its own message is above): "
            "check the network and the free space, then run the same command again."
        )


def make_importable(folder: Path, root: Path) -> None:
    """Put `root` on the environment's path, so that notebooks find helpers from any folder."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([interpreter(folder), "-c", ask], capture_output=True, text=True, check=True)
    Path(found.stdout.strip(), "near_the_pivot.pth").write_text(f"{root}\n", encoding="utf-8")


def set_up(folder: Path, *, lock: Path = LOCK, root: Path = ROOT) -> None:
    """Bring `folder` to the state of the lock; do nothing where it already is."""
    if is_ready(folder, lock):
        log.info("The environment %s is ready.", folder)
        return
    check_request(folder, lock)
    packages = sum("==" in line for line in lock.read_text().splitlines())
    log.info(
        "Setting up %s: about %d packages, some 3 GB to download and 7 GB on disk; this takes "
        "3 to 20 minutes, depending on the network.",
        folder,
        packages,
    )
    (folder / STAMP).unlink(missing_ok=True)
    create(folder)
    install(folder, lock)
    make_importable(folder, root)
    (folder / STAMP).write_text(fingerprint(lock))
    log.info("The environment %s is ready.", folder)


def main() -> int:
    """Set up $VENV, or .venv beside this package; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(os.environ.get("VENV") or ROOT / ".venv").expanduser().absolute()
    try:
        set_up(folder)
    except (SetupError, OSError, subprocess.CalledProcessError) as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        log.error("Interrupted; the same command continues.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
