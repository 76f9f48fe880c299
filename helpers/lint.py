"""Check code and notebooks: `python -m helpers.lint`; `--fix` mends what can be mended.

ruff reads both; besides, notebooks are kept without outputs and declare their parameters well.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

from helpers.config import InputError
from helpers.files import ROOT
from helpers.parameters import REQUIRED, check, read_parameters

log = logging.getLogger(__name__)


def faults(path: Path) -> Iterator[str]:
    """Yield a sentence for everything a notebook in notebooks/ should not have, or lacks."""
    notebook = nbformat.read(path, as_version=4)
    if any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
        yield f"{path.name} has outputs: run `python -m helpers.lint --fix`."
    try:
        parameters = read_parameters(notebook)
        for parameter in parameters.values():
            check(parameter, parameter.default)
    except (InputError, SyntaxError) as error:
        yield f"{path.name}: {error}"
        return
    if missing := [name for name in REQUIRED if name not in parameters]:
        yield f"{path.name} lacks the parameters {', '.join(missing)}."
    if silent := [name for name, parameter in parameters.items() if not parameter.comment]:
        yield f"{path.name} does not say what {', '.join(silent)} is: write a comment on its line."


def main(words: Sequence[str] | None = None) -> int:
    """Check everything, or mend what can be mended first; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m helpers.lint", description=__doc__.split("\n\n")[0])
    parser.add_argument("--fix", action="store_true", help="format, and strip the outputs of notebooks")
    fix = parser.parse_args(words).fix
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    commands = [
        ["ruff", "check", *(["--fix"] if fix else []), "."],
        ["ruff", "format", *([] if fix else ["--check"]), "."],
    ]
    if fix and notebooks:
        commands.insert(0, ["nbstripout", *map(str, notebooks)])
    failed = sum(subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode != 0 for command in commands)
    found = [fault for path in notebooks for fault in faults(path)]
    for fault in found:
        log.error("%s", fault)
    log.info("%s", "Something is to be mended." if failed or found else "Code and notebooks are in order.")
    return 1 if failed or found else 0


if __name__ == "__main__":
    sys.exit(main())
