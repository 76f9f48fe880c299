"""Pictures checked by eye: what is shown to whoever looks, and what the card makes of it."""

import numpy as np
import torch

from helpers.files import write_json
from helpers.world import eye, measures
from helpers.world.draw import draw
from helpers.world.reader import COLOURLESS, Reader, read


def test_what_cannot_be_seen_is_not_asked():
    torch.manual_seed(0)
    scenes = measures.fresh_scenes(40)
    readings = read(Reader().eval(), np.stack([draw(scene)[0] for scene in scenes]))
    readings["count"] = np.array([0] * 20 + [1] * 20, object)
    readings["art_style"] = np.array(["illustration", *COLOURLESS] * 20, object)
    said = eye.readings_in_words(readings)
    assert not any(factor in words for words in said[:20] for factor in eye.OF_A_FIGURE)
    assert all("place" in words and ("hair_colour" in words) == (i % 2 == 0) for i, words in enumerate(said[20:]))


def test_agreement_counts_what_was_not_corrected():
    rows = [{"read": dict.fromkeys(eye.FACTORS, "x"), "seen": {}} for _ in range(10)]
    rows[3]["seen"] = {"object": "star"}
    rows[4]["read"] = {"background": "moon"}
    found = eye.agreement({"pictures": rows})
    assert found["background"].n == 10 and found["background"].value == 1
    assert found["object"].n == 9 and found["object"].value == 8 / 9


def test_only_pictures_of_these_weights_that_somebody_saw_count(tmp_path, monkeypatch):
    monkeypatch.setattr(eye, "CHIBI", tmp_path)
    assert eye.load_checked("a") is None
    write_json(tmp_path / "checked.json", {"pipeline": "a", "checked_by": "", "pictures": []})
    assert eye.load_checked("a") is None
    write_json(tmp_path / "checked.json", {"pipeline": "a", "checked_by": "me", "pictures": []})
    assert eye.load_checked("a")["checked_by"] == "me" and eye.load_checked("b") is None


def test_a_sheet_is_a_picture(tmp_path):
    pictures = np.zeros((3, 64, 64, 3), np.uint8)
    eye.save_sheet(tmp_path / "000.png", pictures, [{"background": "$x_1$ & moon"}] * 3, 0)
    assert (tmp_path / "000.png").read_bytes().startswith(b"\x89PNG")
