"""The environment is set up once a lock, by a bare Python, and never into somebody's folder."""

import ast
import logging
import subprocess
import sys

import pytest

from helpers import bootstrap


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "requirements.lock"
    path.write_text("# nothing to install\n")
    return path


@pytest.fixture
def installs(monkeypatch):
    """Count installations instead of downloading gigabytes."""
    calls = []
    monkeypatch.setattr(bootstrap, "install", lambda folder, lock: calls.append(lock.read_text()))
    return calls


def test_sets_up_again_only_when_the_lock_changed(tmp_path, lock, installs, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "an environment"
    for _ in range(2):
        bootstrap.set_up(folder, lock=lock, root=tmp_path)
    assert len(installs) == 1 and "is ready" in caplog.text
    lock.write_text("# changed\n")
    bootstrap.set_up(folder, lock=lock, root=tmp_path)
    assert installs == ["# nothing to install\n", "# changed\n"]


def test_helpers_are_importable_from_anywhere(tmp_path, lock, installs):
    folder, away = tmp_path / "env", tmp_path / "away"
    away.mkdir()
    bootstrap.set_up(folder, lock=lock)
    command = [bootstrap.interpreter(folder), "-c", "import helpers; print(helpers.__file__)"]
    found = subprocess.run(command, cwd=away, capture_output=True, text=True, check=True)
    assert str(bootstrap.ROOT) in found.stdout


def test_an_interrupted_setup_is_not_ready(tmp_path, lock, monkeypatch):
    def interrupted(folder, lock):
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "install", interrupted)
    folder = tmp_path / "env"
    with pytest.raises(KeyboardInterrupt):
        bootstrap.set_up(folder, lock=lock, root=tmp_path)
    assert not bootstrap.is_ready(folder, lock)


def test_refuses_a_folder_that_holds_something_else(tmp_path, lock, installs):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    with pytest.raises(bootstrap.SetupError, match="no Python environment"):
        bootstrap.set_up(tmp_path / "photos", lock=lock, root=tmp_path)
    assert (tmp_path / "photos" / "cat.png").exists() and not installs


def test_refuses_the_environment_of_another_project(tmp_path, lock, installs):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    with pytest.raises(bootstrap.SetupError, match="not made for this"):
        bootstrap.set_up(tmp_path / "theirs", lock=lock, root=tmp_path)
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["pyvenv.cfg"] and not installs


def test_an_old_python_is_told_so(tmp_path, lock, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2))
    with pytest.raises(bootstrap.SetupError, match=r"This is Python 3.9, .* needs 3.11"):
        bootstrap.check_request(tmp_path / "env", lock)


def test_a_failed_download_is_one_sentence(tmp_path, lock):
    folder = tmp_path / "env"
    lock.write_text("near-the-pivot-does-not-exist==1 --hash=sha256:" + "0" * 64)
    bootstrap.create(folder)
    with pytest.raises(bootstrap.SetupError, match="pip could not install"):
        bootstrap.install(folder, lock)


@pytest.mark.parametrize("module", ["__init__", "bootstrap", "__main__"])
def test_needs_nothing_but_the_standard_library(module):
    source = (bootstrap.ROOT / "helpers" / f"{module}.py").read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in sys.stdlib_module_names for name in names)
