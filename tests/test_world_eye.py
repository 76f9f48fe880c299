"""Pictures checked by eye: what is shown to whoever looks, and what the card makes of it."""

import numpy as np
import torch

from helpers.files import write_json
from helpers.world import eye, measures
from helpers.world import scene as w
from helpers.world.draw import draw
from helpers.world.reader import Reader, read


def test_abstentions_are_not_shown():
    torch.manual_seed(0)
    readings = read(Reader(width=8).eval(), np.stack([draw(scene)[0] for scene in measures.fresh_scenes(4)]))
    readings["background"] = np.array(["moon", None, "moon", "moon"], object)
    readings["x_0"] = np.array([[np.nan], [10.0], [32.0], [50.0]])
    readings["hair_colour_0"][:] = [[np.nan] * 3, w.HAIR_COLOURS["pink"], w.HAIR_COLOURS["blue"], [np.nan] * 3]
    said = eye.readings_in_words(readings)
    assert ["background" in words for words in said] == [True, False, True, True]
    assert [words.get("place") for words in said] == [None, "left", "centre", "right"]
    assert [words.get("hair_colour") for words in said] == [None, "pink", "blue", None]


def test_nothing_is_read_of_a_character_that_is_not_there():
    torch.manual_seed(0)
    reader = Reader(width=8).eval()
    last = reader.heads["count"][-1]
    last.weight.data.zero_()
    last.bias.data.copy_(torch.tensor([0.0, 9.0, 0.0]))  # one character, always
    readings = read(reader, np.stack([draw(scene)[0] for scene in measures.fresh_scenes(4)]))
    assert np.isnan(readings["x_1"]).all() and set(readings["garment_1"]) == {None}
    last.bias.data.copy_(torch.tensor([9.0, 0.0, 0.0]))
    readings = read(reader, np.stack([draw(scene)[0] for scene in measures.fresh_scenes(4)]))
    assert np.isnan(readings["x_0"]).all() and set(readings["garment_0"]) == {None}


def test_agreement_counts_what_was_not_corrected():
    rows = [{"read": dict.fromkeys(eye.FACTORS, "x"), "seen": {}} for _ in range(10)]
    rows[3]["seen"] = {"object": "star"}
    rows[4]["read"] = {"background": "moon"}
    found = eye.agreement({"pictures": rows})
    assert found["background"].n == 10 and found["background"].value == 1
    rows[5]["seen"] = None  # nobody looked
    assert eye.agreement({"pictures": rows})["background"].n == 9
    assert found["object"].n == 9 and found["object"].value == 8 / 9


def test_only_pictures_of_these_weights_that_somebody_saw_count(tmp_path, monkeypatch):
    monkeypatch.setattr(eye, "CHIBI", tmp_path)
    assert eye.load_checked("a") is None
    write_json(tmp_path / "checked.json", {"models": "a", "checked_by": "", "pictures": []})
    assert eye.load_checked("a") is None
    write_json(tmp_path / "checked.json", {"models": "a", "checked_by": "me", "pictures": []})
    assert eye.load_checked("a")["checked_by"] == "me" and eye.load_checked("b") is None


def test_a_sheet_is_a_picture(tmp_path):
    pictures = np.zeros((3, 64, 64, 3), np.uint8)
    eye.save_sheet(tmp_path / "000.png", pictures, [{"background": "$x_1$ & moon"}] * 3, 0)
    assert (tmp_path / "000.png").read_bytes().startswith(b"\x89PNG")
