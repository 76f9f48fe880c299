"""Features, captions and pictures from files, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from helpers import features
from helpers.config import InputError
from helpers.features import Caption


def array(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_arrays_are_read(tmp_path, dtype):
    np.save(tmp_path / "f.npy", array(2, 7, 5).astype(dtype))
    found = features.read_features(str(tmp_path / "f.npy"))
    assert found.shape == (2, 7, 5) and found.dtype == torch.float64


def test_tensors_are_read_in_two_layouts(tmp_path):
    both = torch.from_numpy(array(2, 7, 5))
    save_file({"any name": both}, tmp_path / "one.safetensors")
    save_file({"texts": both[1].contiguous(), "images": both[0].contiguous()}, tmp_path / "two.safetensors")
    one, two = (features.read_features(str(tmp_path / f"{name}.safetensors")) for name in ("one", "two"))
    assert torch.equal(one, both.double()) and torch.equal(two, one)


def test_other_features_are_refused(tmp_path):
    np.save(tmp_path / "flat.npy", array(7, 5))
    np.save(tmp_path / "three.npy", array(3, 7, 5))
    np.save(tmp_path / "whole.npy", np.ones((2, 7, 5), int))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "broken.npy").write_bytes(b"nonsense")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    save_file({"images": torch.ones(4, 3), "texts": torch.ones(5, 3)}, tmp_path / "uneven.safetensors")
    refusals = {
        "flat.npy": r"has shape \(7, 5\)",
        "three.npy": r"has shape \(3, 7, 5\)",
        "whole.npy": "give real numbers",
        "objects.npy": "cannot be read",
        "broken.npy": "cannot be read",
        "broken.safetensors": "cannot be read",
        "uneven.safetensors": r"\(4, 3\) and \(5, 3\)",
        "missing.npy": "is no file here",
    }
    for name, words in refusals.items():
        with pytest.raises(InputError, match=words) as refused:
            features.read_features(str(tmp_path / name))
        assert "\n" not in str(refused.value) and name in str(refused.value)


def coco(tmp_path, captions, name="captions.json"):
    images = [{"id": n, "file_name": f"{n:03d}.png"} for n in range(len(captions))]
    annotations = [{"image_id": n, "caption": text} for n, texts in enumerate(captions) for text in texts]
    (tmp_path / name).write_text(json.dumps({"images": images, "annotations": annotations}), encoding="utf-8")
    return str(tmp_path / name)


def test_coco_gives_the_first_caption_of_each_picture(tmp_path):
    source = coco(tmp_path, [["a  dog\n", "a second"], ["a cat"], ["a café"]])
    assert features.read_captions(source) == [
        Caption(text="a dog", image="000.png"),
        Caption(text="a cat", image="001.png"),
        Caption(text="a café", image="002.png"),
    ]


def test_text_files_give_a_caption_a_line(tmp_path):
    (tmp_path / "c.txt").write_text("\ufeffa dog\n\n  a cat \na bird", encoding="utf-8")
    assert [c.text for c in features.read_captions(str(tmp_path / "c.txt"))] == ["a dog", "a cat", "a bird"]


def test_other_captions_are_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes("a caf\xe9\n".encode("latin-1") * 5)
    (tmp_path / "broken.json").write_text('{"annotations": [', encoding="utf-8")
    (tmp_path / "list.json").write_text("[1, 2]", encoding="utf-8")
    (tmp_path / "other.json").write_text('{"annotations": [{"caption": "no image"}]}', encoding="utf-8")
    (tmp_path / "few.txt").write_text("one\ntwo\n", encoding="utf-8")
    refusals = {
        "latin.txt": "is not UTF-8",
        "broken.json": "is not JSON",
        "list.json": "is no COCO captions file",
        "other.json": "is no COCO captions file",
        "few.txt": "holds 2 captions",
        "missing.txt": "is no file here",
    }
    for name, words in refusals.items():
        with pytest.raises(InputError, match=words):
            features.read_captions(str(tmp_path / name))


def pictures(folder, count):
    folder.mkdir()
    for n in range(count):
        Image.fromarray(np.full((9, 12, 3), 20 * n, np.uint8)).save(folder / f"{n:03d}.png")
    return features.picture_paths(str(folder))


def test_pictures_and_captions_are_matched_by_name(tmp_path):
    paths = pictures(tmp_path / "p", 4)
    assert features.read_pictures(paths, size=8).shape == (4, 3, 8, 8)
    named = features.read_captions(coco(tmp_path, [[f"number {n}"] for n in range(9)]))
    captions, kept, together = features.matched(named[::-1], paths)
    assert together and [c.text for c in captions] == [f"number {n}" for n in (3, 2, 1, 0)]
    assert [path.name for path in kept] == ["003.png", "002.png", "001.png", "000.png"]


def test_without_names_only_as_many_belong_together(tmp_path):
    paths, lines = pictures(tmp_path / "p", 4), [Caption(text=str(n)) for n in range(6)]
    assert features.matched(lines[:4], paths) == (lines[:4], paths, True)
    assert features.matched(lines, paths) == (lines[:4], paths, False)


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no folder here"):
        features.picture_paths(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="holds 0 PNG"):
        features.picture_paths(str(tmp_path))
