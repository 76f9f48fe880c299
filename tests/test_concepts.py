"""Folders of pictures of every kind become squares, or one sentence that names the file."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import concepts
from helpers.config import InputError

REAL = concepts.ROOT.parent / "shared" / "data" / "real" / "subjects"


def save(path, *, mode="RGB", size=(48, 32), colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def load(folder, **options):
    return concepts.load_concept(str(folder), **{"size": 16, **options})


def test_no_picture_both_trains_and_scores(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png")
    for facts in ({"training": 3, "score_only": 2}, {"score_only": 5}):
        (tmp_path / "concept.json").write_text(json.dumps(facts))
        with pytest.raises(InputError, match="none may be both"):
            load(tmp_path)


def test_every_kind_of_picture_is_read(tmp_path, caplog):
    save(tmp_path / "a.png", mode="RGBA", colour=(255, 0, 0, 0))
    save(tmp_path / "b.jpg", mode="L", colour=90)
    save(tmp_path / "c.webp", colour="blue")
    save(tmp_path / "d.JPEG", mode="CMYK", colour=(0, 0, 0, 0))
    save(tmp_path / "e.png", mode="P", size=(5, 3))
    save(tmp_path / "f.png", mode="LA", colour=(9, 255))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".DS_Store").write_text("")
    with caplog.at_level(logging.INFO):
        concept = load(tmp_path)
    assert concept.images.shape == (6, 3, 16, 16) and concept.images.dtype == torch.uint8
    assert concept.names == ("a.png", "b.jpg", "c.webp", "d.JPEG", "e.png", "f.png")
    assert (concept.images[0] == 255).all(), "a transparent picture is white"
    assert (concept.images[5] == 9).all()
    assert concept.masks is None and len(concept.score_images) == 0
    assert "central square of 32 resized to 16" in caplog.text and "notes.txt" in caplog.text


def test_the_centre_is_kept_and_exif_turns_the_picture(tmp_path):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    pixels[:10, 20:40] = 100
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.png", exif=exif)
    plain, turned = load(tmp_path, size=20).images
    assert plain.min() == 100
    assert torch.equal(plain.flip(1, 2), turned)


def test_masks_are_cropped_with_their_images(tmp_path):
    save(tmp_path / "a.png", size=(40, 20))
    mask = np.zeros((20, 40), np.uint8)
    mask[:, 10:20] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.webp", lossless=True)
    masks = load(tmp_path, size=20).masks
    assert masks.dtype == torch.bool
    assert masks[0, :, :10].all() and not masks[0, :, 10:].any()


def test_an_embedded_concept_trains_on_its_first_five(tmp_path):
    for i in range(12):
        save(tmp_path / f"{i:02}.png", colour=(i, 0, 0))
    facts = {"name": "newcomer", "training": 8, "default_training": 5, "score_only": 4}
    (tmp_path / "concept.json").write_text(json.dumps(facts))
    (tmp_path / "scenes.json").write_text(json.dumps([{"place": i} for i in range(12)]))
    concept = load(tmp_path)
    assert concept.name == "newcomer" and len(concept.scenes) == 12
    assert concept.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert concept.score_images[:, 0, 0, 0].tolist() == [8, 9, 10, 11]
    assert len(load(tmp_path, count=8).images) == 8
    with pytest.raises(InputError, match="use 1 to 8"):
        load(tmp_path, count=9)
    assert concept.fingerprint == load(tmp_path).fingerprint != load(tmp_path, count=4).fingerprint


def bomb(folder):
    path = save(folder / "bomb.png", size=(64, 64))
    return path, "million pixels"


def truncated(folder):
    path = folder / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    return path, "cannot be read as an image"


def text(folder):
    path = folder / "text.jpg"
    path.write_text("no picture")
    return path, "cannot be read as an image"


def deep(folder):
    path = folder / "deep.png"
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)
    return path, "8-bit"


def lonely_mask(folder):
    save(folder / "a.png")
    save(folder / "b.png")
    save(folder / "masks" / "a.png", mode="L")
    return folder / "masks", "no mask for b.png"


def small_mask(folder):
    save(folder / "a.png")
    return save(folder / "masks" / "a.png", mode="L", size=(8, 8)), "the same size"


def broken_facts(folder):
    save(folder / "a.png")
    path = folder / "concept.json"
    path.write_text("{")
    return path, "JSON"


def wrong_number(folder):
    save(folder / "a.png")
    path = folder / "concept.json"
    path.write_text('{"training": "all"}')
    return path, "a number of images"


def wrong_facts(folder):
    save(folder / "a.png")
    path = folder / "scenes.json"
    path.write_text("{}")
    return path, "must be a JSON list"


@pytest.mark.parametrize(
    "make",
    [bomb, truncated, text, deep, lonely_mask, small_mask, broken_facts, wrong_number, wrong_facts],
    ids=lambda make: make.__name__,
)
def test_bad_files_are_named_in_one_sentence(make, tmp_path, monkeypatch):
    path, part = make(tmp_path)
    if make is bomb:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=part) as caught:
        load(tmp_path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_are_no_concept(tmp_path):
    with pytest.raises(InputError, match="has no images"):
        load(tmp_path)
    with pytest.raises(InputError, match="is no folder here"):
        load(tmp_path / "absent")
    for i in range(26):
        save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match="use 1 to 25"):
        load(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real subjects are not on this machine")
def test_real_photographs():
    concept = concepts.load_concept(str(REAL / "can"), size=64)
    assert concept.images.shape == (6, 3, 64, 64) and concept.name == "can"
    assert concept.images.float().std() > 20


def test_a_concept_says_its_class_word(tmp_path):
    assert load("style-watercolour", size=64).class_word == "painting"
    save(tmp_path / "a.png")
    assert load(tmp_path).class_word == "character"
