"""Execute one notebook aside, and put its report in place only when it is whole."""

import datetime
import html
import json
import logging
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from helpers import files, publish_html, publish_pictures
from helpers.parameters import read_parameters

PATHS = ("model", "scorer", "concept", "edits", "captions", "images", "features", "untrained")
"""Parameters that may be a folder or file of the user's."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A notebook to execute with checked values, and the folder its report goes to."""

    notebook: Path
    values: dict[str, Any]
    out: Path

    @property
    def stem(self) -> str:
        """The name all files of the report share."""
        return self.notebook.stem


@dataclass
class Progress:
    """Say at each code cell how far a notebook is, and pass on what its cells write."""

    cells: int
    """Code cells in all."""
    expected: float
    """Seconds the last run into the same folder took; 0 if there was none."""
    begun: int = 0
    started: float = field(default_factory=time.monotonic)

    def cell(self, *, cell: NotebookNode, cell_index: int) -> None:
        """Log one line as a cell starts."""
        if cell.cell_type != "code":
            return
        self.begun += 1
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        log.info("  %3.0f s  cell %d of %d%s  %s", self.elapsed, self.begun, self.cells, self.left(), first[:60])

    def left(self) -> str:
        """Return the time that is left, as far as the last run tells."""
        rest = self.expected - self.elapsed
        return f", about {rest:.0f} s left" if rest > 0 else ""

    @property
    def elapsed(self) -> float:
        """Seconds since the notebook started."""
        return time.monotonic() - self.started

    def write(self, text: str) -> None:
        """Pass on a cell's own text; of a progress bar, the state it was left in."""
        for line in text.splitlines():
            if line.rpartition("\r")[2].strip():
                log.info("  %3.0f s    %s", self.elapsed, line.rpartition("\r")[2])

    def flush(self) -> None:
        """Nothing is held back; papermill asks for this."""


def publish(job: Job) -> str:
    """Execute a notebook and publish its report; return what went wrong, or nothing."""
    log.info("%s", job.stem)
    try:
        job.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{job.stem} failed: the folder of the results, {job.out}, cannot be made ({error.strerror})."
    with tempfile.TemporaryDirectory(prefix=f".{job.stem}-", dir=job.out) as folder:
        executed = Path(folder) / f"{job.stem}.ipynb"
        try:
            seconds = execute(job, executed)
            check_results(executed.with_suffix(".json"))
            finish(job, executed, seconds=seconds)
            move_in_place(job, Path(folder))
        except Exception as error:  # whatever a notebook raises, the others are still worth having
            failed = keep_failed(job, executed)
            return f"{job.stem} failed: {explain(error)} The notebook with its error is {failed}."
    log.info("  %3.0f s  done", seconds)
    return ""


def execute(job: Job, executed: Path) -> float:
    """Execute the notebook in the folder of `executed`; return the seconds it took."""
    source = nbformat.read(job.notebook, as_version=4)
    injected = 1
    cells = sum(cell.cell_type == "code" for cell in source.cells) + injected
    progress = Progress(cells=cells, expected=seconds_before(job))
    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(files.ROOT), os.environ.get("PYTHONPATH")]))
    papermill.execute_notebook(
        source,
        str(executed).replace("{", "{{").replace("}", "}}"),
        parameters=job.values | {"out": "."},
        kernel_name="python3",
        language="python",
        progress_bar=False,
        cwd=executed.parent,
        stdout_file=progress,
        stderr_file=progress,
        on_cell_start=progress.cell,
        extra_arguments=["--log-level=CRITICAL"],  # of the kernel itself, not of the cells
    )
    return progress.elapsed


def seconds_before(job: Job) -> float:
    """Return how long the last run into the same folder took, 0 if there was none."""
    before = job.out / f"{job.stem}.ipynb"
    return nbformat.read(before, as_version=4).metadata.get("report", {}).get("seconds", 0) if before.is_file() else 0


def check_results(path: Path) -> None:
    """Refuse a notebook that kept nothing others can read."""
    if not path.is_file():
        raise ValueError(f"it wrote no {path.name}; write results and provenance to out.")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not {"results", "provenance"} <= set(content):
        raise ValueError(f"{path.name} needs the keys results and provenance.")


def finish(job: Job, executed: Path, *, seconds: float) -> None:
    """Note in the notebook how it came about, without paths of this machine; write its pictures and its page."""
    found = executed.with_suffix(".json")
    for path in (executed, found):
        files.write_text(path, without_paths(path.read_text(encoding="utf-8"), job.values))
    notebook, facts = nbformat.read(executed, as_version=4), json.loads(found.read_text(encoding="utf-8"))["provenance"]
    defaults = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
    effective = defaults | job.values
    now = datetime.datetime.now(datetime.UTC)
    notebook, _ = CoalesceStreamsPreprocessor(enabled=True).preprocess(notebook, {})  # a cell's log is one fold
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    notebook.metadata["report"] = {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(seconds, 1),
        **{name: facts.get(name) or effective[name] for name in ("profile", "model", "concept") if name in effective},
    }
    index = publish_html.index_path(job.out, profile=job.values["profile"])
    for name, content in publish_pictures.moved_out(notebook, stem=job.stem).items():
        files.write_bytes(executed.with_suffix("") / name, content)
    page = publish_html.render(notebook, index_href=publish_html.href(index, start=job.out))
    files.write_text(executed, nbformat.writes(notebook) + "\n")
    files.write_text(executed.with_suffix(".html"), page)


def without_paths(text: str, values: dict[str, Any]) -> str:
    """JSON text in which folders and files that were given to a notebook go by their name alone."""
    for parameter in PATHS:
        path = Path(str(values.get(parameter, "")).removeprefix("local-dir:"))
        if path.is_absolute():
            parent, plain = str(path.parent / "x")[:-1], re.match(r"[\w .-]*", path.name)[0]
            pairs = {(parent, plain), (html.escape(parent), plain), (parent.replace("\\", "\\\\"), plain)}
            pairs.add(tuple(part.encode("unicode_escape").decode() for part in (parent, plain)))  # as papermill writes
            for raw in (False, True):
                for long, short in pairs:
                    found, instead = (json.dumps(t, ensure_ascii=raw)[1:-1] for t in (long + short, short))
                    pattern = r"(?<![A-Za-z0-9+/])" + re.escape(found)  # not within a picture's base64
                    text = re.sub(pattern, lambda _, name=instead: name, text)
    return text


def keep_failed(job: Job, executed: Path) -> Path:
    """Leave the notebook with its error beside the reports; return where."""
    failed = job.out / f"{job.stem}.failed.ipynb"
    if executed.is_file():
        os.replace(executed, failed)
    else:
        shutil.copyfile(job.notebook, failed)
    return failed


def explain(error: Exception) -> str:
    """Say in one sentence what stopped a notebook."""
    if isinstance(error, PapermillExecutionError):
        message = str(error.evalue).strip().splitlines() or [""]
        return f"cell {error.cell_index + 1} stopped with {error.ename}: {message[0].rstrip('.')}."
    return " ".join(str(error).split()) or type(error).__name__


def move_in_place(job: Job, folder: Path) -> None:
    """Rename the files of a report, and its folder of pictures and weights, to where they are read."""
    for new in sorted(folder.glob(f"{job.stem}*")):
        target = job.out / new.name
        if target.is_dir():
            os.replace(target, folder / f"old-{new.name}")
        os.replace(new, target)
    (job.out / f"{job.stem}.failed.ipynb").unlink(missing_ok=True)
