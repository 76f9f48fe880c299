"""Publish reports: `python -m helpers.publish [notebooks] --profile quick -p name value`.

Parameters are checked by name, type and range before anything runs; then every notebook is
executed with papermill, rendered to HTML, and listed in an index.
"""

import argparse
import difflib
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat

from helpers import files, publish_html, publish_run
from helpers.config import InputError
from helpers.parameters import REQUIRED, Parameter, parse, read_parameters
from helpers.publish_run import Job

NOTEBOOKS = files.ROOT / "notebooks"
DATA = files.ROOT / "data"
HOMES = {"model": DATA, "scorer": DATA, "concept": DATA / "concepts", "edits": DATA / "prompts"}
"""Where the names of a parameter live; everything else is a path, or a hub id."""
GIVEN = {"captions": "world", "images": "world", "features": "", "untrained": ""}
"""Parameters that are a path, unless they have this value."""
FLAGS = ("profile", "model", "scorer", "concept", "class_word", "train")

log = logging.getLogger(__name__)


def arguments() -> argparse.ArgumentParser:
    """Return what the command line understands; an empty value means the notebook's own default."""
    parser = argparse.ArgumentParser(prog="python -m helpers.publish", description=__doc__.split("\n\n")[0])
    parser.add_argument("notebooks", nargs="*", help="such as 00_chibi_world; all of them if none is named")
    parser.add_argument("--profile", default="quick", help="smoke, quick (default) or full")
    parser.add_argument("--model", default="", help="chibi, a Stable Diffusion folder or a hub id")
    parser.add_argument(
        "--scorer", default="", help="CLIP that scores: chibi, an open_clip folder, or a name and weights"
    )
    parser.add_argument("--concept", default="", help="a name in data/concepts, or a folder of images")
    parser.add_argument("--class-word", default="", help="what the concept is, in a word")
    parser.add_argument("--train", default="", help="missing (default) or never")
    parser.add_argument("-p", dest="own", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Publish what the command line asks for; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = arguments().parse_args(words)
    given = {name: getattr(options, name) for name in FLAGS if getattr(options, name)} | dict(options.own)
    try:
        jobs = plan(select(options.notebooks), given)
    except InputError as error:
        log.error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130
    return run(jobs)


def select(stems: Sequence[str]) -> list[Path]:
    """Return the notebooks of these names in order; all of them if none is named."""
    known = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    for stem in stems:
        if stem not in known:
            raise InputError(f"There is no notebook {stem!r} in notebooks/: name one of {', '.join(known)}.")
    if not known:
        raise InputError("There is no notebook in notebooks/: restore them with `git checkout notebooks`.")
    return [path for stem, path in known.items() if not stems or stem in stems]


def plan(notebooks: Sequence[Path], given: dict[str, str]) -> list[Job]:
    """Check every value for every notebook; each gets those it declares."""
    declared = {path: _declared(path) for path in notebooks}
    names = {name for parameters in declared.values() for name in parameters}
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1) or [", ".join(sorted(names))]
            raise InputError(f"No notebook here has a parameter {name!r}: did you mean {near[0]}?")
    return [_job(path, parameters, given) for path, parameters in declared.items()]


def _declared(path: Path) -> dict[str, Parameter]:
    try:
        parameters = read_parameters(nbformat.read(path, as_version=4))
    except (InputError, SyntaxError, nbformat.reader.NotJSONError) as error:
        raise InputError(f"{path.name}: {error}") from error
    if missing := [name for name in REQUIRED if name not in parameters]:
        raise InputError(f"{path.name} lacks the parameters {', '.join(missing)}: every notebook declares them.")
    return parameters


def _job(path: Path, parameters: dict[str, Parameter], given: dict[str, str]) -> Job:
    try:
        values = {name: parse(parameters[name], text) for name, text in given.items() if name in parameters}
        values |= {name: _input(name, values[name]) for name in HOMES if name in values}
        values |= {name: _given(name, values[name]) for name in GIVEN if isinstance(values.get(name), str)}
    except InputError as error:
        raise InputError(f"{path.stem}: {error}") from None
    profile = values.setdefault("profile", parameters["profile"].default)
    out = files.out_folder(values.pop("out", ""), profile=profile).absolute()
    return Job(notebook=path, values=values, out=out)


def _input(name: str, value: str) -> str:
    """Leave names as they are; make paths absolute, because notebooks run in another folder."""
    try:
        if Path(value).name == value and (HOMES[name] / value).is_dir():
            return value
        location = value.removeprefix("local-dir:")
        if Path(location).expanduser().exists():
            return value[: -len(location)] + str(Path(location).expanduser().absolute())
    except (OSError, RuntimeError) as error:
        raise InputError(f"Parameter {name} cannot be {value!r}: {getattr(error, 'strerror', error)}.") from None
    if name == "concept":
        raise InputError(_no_concept(value))
    if location.startswith((".", "/", "~")):
        raise InputError(f"Parameter {name} is {value!r}, and there is nothing of that name: correct the path.")
    return value


def _given(name: str, value: str) -> str:
    """Make a path absolute, because notebooks run in another folder; it has to exist."""
    path = Path(value).expanduser()
    if value == GIVEN[name]:
        return value
    if not path.exists():
        raise InputError(f"Parameter {name} is {value!r}, and there is nothing of that name: correct the path.")
    return os.path.abspath(path)


def _no_concept(concept: str) -> str:
    known = sorted(path.name for path in HOMES["concept"].glob("*") if path.is_dir())
    near = difflib.get_close_matches(concept, known, n=3) or known[:3]
    names = f", or one of data/concepts, such as {', '.join(near)}" if near else ""
    return f"There is no concept or folder {concept!r}: give a folder of images{names}."


def run(jobs: Sequence[Job]) -> int:
    """Execute the jobs one after the other, write the index, and say where everything is."""
    started = time.monotonic()
    try:
        failures = [failure for job in jobs if (failure := _publish(job))]
    except KeyboardInterrupt:
        log.error("Interrupted; the reports finished so far are in %s.", jobs[0].out)
        return 130
    index = publish_html.write_index(jobs[0].out, profile=jobs[0].values["profile"])
    done = len(jobs) - len(failures)
    sys.stdout.write(f"{done} of {len(jobs)} reports in {time.monotonic() - started:.0f} s: {index}\n")
    sys.stdout.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else 0


def _publish(job: Job) -> str:
    failure = publish_run.publish(job)
    if failure:
        log.error("%s", failure)
    return failure


if __name__ == "__main__":
    sys.exit(main())
