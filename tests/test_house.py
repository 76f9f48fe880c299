"""What holds the house together: one set of versions, clean notebooks, commands that exist."""

import re
import subprocess
import tomllib

import nbformat
import pytest
import yaml

from helpers import __main__ as listing
from helpers import lint
from helpers.files import ROOT
from helpers.parameters import REQUIRED

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def tracked():
    """Return the files of the project: those git tracks, or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in map(ROOT.joinpath, listed.splitlines()) if path.is_file()]


def texts():
    for path in tracked():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_every_dependency_is_pinned_as_in_the_lock():
    project = PROJECT["project"]
    pins = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    locked = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE):
        locked.setdefault(name, set()).add(version)
    for pin in pins:
        name, version = pin.split("==")
        assert locked.get(name) == {version}, f"pyproject.toml pins {pin}, requirements.lock {locked.get(name)}"


def test_every_locked_file_has_a_hash_and_no_address():
    for requirement in re.split(r"\n(?=[a-z0-9])", LOCK)[1:]:
        assert "--hash=sha256:" in requirement
    assert "://" not in LOCK


def test_conda_users_get_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python = next(line for line in environment["dependencies"] if str(line).startswith("python"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "-r requirements.lock" in pip and "--require-hashes" in pip and len(pip) == 2
    assert python == "python=" + PROJECT["project"]["requires-python"].removeprefix(">=")
    assert environment["name"] == PROJECT["project"]["name"]


def test_no_registry_and_no_path_of_a_machine_is_named():
    hosts = ["pypi." + "org", "python" + "hosted", "conda.ana" + "conda", "huggingface.co" + "/api"]
    places = [rf"(?<![\w.]){folder}/\w" for folder in ("/ro" + "ot", "/wo" + "rk", "/ho" + "me")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *places]))
    for path, text in texts():
        found = pattern.search(text)
        assert not found, f"{path.relative_to(ROOT)} names {found[0]!r}"


def test_tracked_tree_is_small():
    sizes = {path: path.stat().st_size for path in tracked()}
    chibi = sum(size for path, size in sizes.items() if path.is_relative_to(ROOT / "data" / "chibi"))
    assert sum(sizes.values()) <= 50e6 and chibi <= 24e6


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_in_order(path):
    assert not list(lint.faults(path))


def test_lint_names_what_is_wrong_with_a_notebook(tmp_path):
    source = "seed: int = -1  # of every draw"
    cell = nbformat.v4.new_code_cell(source, execution_count=1, metadata={"tags": ["parameters"]})
    path = tmp_path / "06_bad.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert [fault.split(":")[0] for fault in lint.faults(path)] == ["06_bad.ipynb has outputs", "06_bad.ipynb"]
    cell.update(source="seed: int = 1", execution_count=None)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    lacks, silent = lint.faults(path)
    assert all(name in lacks for name in set(REQUIRED) - {"seed"}) and "does not say what seed is" in silent


def test_make_and_help_list_the_same_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) - {"help", "setup"}
    assert targets == set(re.findall(r"^  make (\S+)", listing.COMMANDS, re.MULTILINE))
    for module in re.findall(r"\$\(RUN\) (\S+)", makefile):
        assert module in listing.COMMANDS


@pytest.mark.parametrize("concept", ["a b", "$(touch x)", "`touch x`", "'; touch x; '", '"$HOME"', "$$", "#"])
def test_make_passes_values_untouched(tmp_path, concept):
    """A stub takes the place of Python and notes its arguments."""
    stub = tmp_path / "en v" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$(dirname "$0")/arguments"\n')
    stub.chmod(0o755)
    words = [f"CONCEPT={concept}", f"VENV={stub.parent.parent}", f"PYTHON={stub}"]
    subprocess.run(["make", "-C", ROOT, "reports", *words], check=True, capture_output=True)
    arguments = (stub.parent / "arguments").read_text().splitlines()
    assert arguments[arguments.index("--concept") + 1] == concept
    assert not (ROOT / "x").exists()
