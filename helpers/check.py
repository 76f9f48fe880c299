"""Run the tests: `python -m helpers.check`, and those that take minutes with `--slow`.

Besides the unit tests, every notebook is executed on the smoke profile. nbval knows no
parameters, so papermill prepares copies of the notebooks first.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import papermill

from helpers.files import ROOT

PREPARED = ROOT / "build" / "nbval"

log = logging.getLogger(__name__)


def prepare(notebooks: Sequence[Path], folder: Path) -> None:
    """Copy notebooks into a fresh folder, set to the smoke profile and to write beside themselves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    for path in notebooks:
        papermill.execute_notebook(
            str(path),
            str(folder / path.name),
            parameters={"profile": "smoke", "out": "."},
            kernel_name="python3",
            language="python",
            prepare_only=True,
        )


def unit_tests(*, slow: bool) -> list[str]:
    """Return pytest's arguments for the tests alone."""
    return ["tests", "-m", "slow" if slow else "not slow"]


def notebook_tests() -> list[str]:
    """Return pytest's arguments for the prepared notebooks: each cell has to run in this environment."""
    return [str(PREPARED), "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]


def main(words: Sequence[str] | None = None) -> int:
    """Run what was asked for in one pytest, so that its closing line counts everything."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m helpers.check", description=__doc__.split("\n\n")[0])
    parser.add_argument("--slow", action="store_true", help="only the tests that take minutes")
    slow = parser.parse_args(words).slow
    arguments = unit_tests(slow=slow)
    if not slow:
        notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
        log.info("Preparing %d notebooks on the smoke profile in %s", len(notebooks), PREPARED)
        prepare(notebooks, PREPARED)
        arguments += notebook_tests()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "NEAR_THE_PIVOT_RUNS": str(PREPARED / "runs")}  # smoke runs are of no use to anybody
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | own).returncode


if __name__ == "__main__":
    sys.exit(main())
