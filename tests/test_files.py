"""Files are whole or not there, and names stay inside their folder."""

import json

import pytest

from helpers import files


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "note.json"
    files.write_json(path, {"täglich": [1, 2.5]})
    files.write_json(path, {"täglich": [3]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"täglich": [3]}
    assert [entry.name for entry in path.parent.iterdir()] == ["note.json"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), files.aside(path) as part:
        part.write_bytes(b"half of the n")
        raise RuntimeError("killed")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights.bin"]


def test_aside_keeps_the_suffix(tmp_path):
    with files.aside(tmp_path / "a.parquet") as part:
        part.write_text("x")
    assert part.suffix == ".parquet"


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", ".hidden", "a\nb", "C:"])
def test_names_that_leave_their_folder(name):
    with pytest.raises(ValueError, match="cannot name an output file"):
        files.output_name(name)


@pytest.mark.parametrize("name", ["hana", "a b", "02_x", "Zoë", "v1.5"])
def test_ordinary_names(name):
    assert files.output_name(name) == name


def test_out_folder(tmp_path):
    assert files.out_folder("", profile="quick") == files.ROOT / "reports" / "quick"
    assert files.out_folder(str(tmp_path), profile="quick") == tmp_path


def test_a_folder_survives_a_kill_between_its_two_renames(tmp_path):
    old, leftover = tmp_path / "it.old", tmp_path / "it.aside"
    for folder in (old, leftover):
        folder.mkdir()
        (folder / "a").write_text(folder.suffix)
    with pytest.raises(RuntimeError), files.folder_aside(tmp_path / "it"):
        raise RuntimeError("it failed again")
    assert (tmp_path / "it" / "a").read_text() == ".old"
    old.mkdir()
    (old / "a").write_text("killed before it was swept up")
    with files.folder_aside(tmp_path / "it") as part:
        (part / "b").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["it"] and (tmp_path / "it" / "b").exists()
