"""The numbers of chibi's card: readings that are made from the truth score 1, and what is spoiled costs its share."""

import json

import numpy as np
import pytest

from helpers.stats import Interval
from helpers.world import card, measures
from helpers.world import scene as w
from helpers.world.population import NAMES, named_characters
from helpers.world.reader import SLOT_CLASSES, SLOT_NUMBERS, SLOTS
from helpers.world.readings import Readings


def perfect(scenes: list[w.Scene]) -> Readings:
    """What a reader without error says of scenes: its first slot is the left figure."""
    said = {key: np.array([getattr(s, key) for s in scenes], object) for key in ("background", "object", "art_style")}
    said["count"] = np.array([len(s.figures) for s in scenes], object)
    for slot in range(SLOTS):
        seen = [dict(enumerate(sorted(s.figures, key=lambda f: f.x))).get(slot) for s in scenes]
        for name in SLOT_CLASSES:
            said[f"{name}_{slot}"] = np.array([f and getattr(f.character, name) for f in seen], object)
        for name, n in SLOT_NUMBERS.items():
            values = [f and getattr(f if name in ("pose", "x", "lift", "scale") else f.character, name) for f in seen]
            said[f"{name}_{slot}"] = np.array(
                [np.full(n, np.nan) if v is None else np.atleast_1d(v) for v in values], float
            )
    return said


@pytest.fixture(scope="module")
def scenes():
    return measures.fresh_scenes(300)


def test_a_perfect_reader_has_perfect_numbers(scenes):
    numbers = measures.reader_numbers(scenes, perfect(scenes))
    assert all(number.value == 1 for number in numbers["accuracy"].values())
    assert numbers["error"]["x_px"].value == numbers["error"]["pose_deg"].value == 0
    assert numbers["error"]["read"].value == numbers["error"]["eye_colour_accuracy"].value == 1
    people = sum(bool(scene.figures) for scene in scenes)
    assert numbers["accuracy"]["hair_style"].n == people and numbers["accuracy"]["background"].n == 300


def test_each_wrong_reading_costs_its_share(scenes):
    said = perfect(scenes)
    said["background"][:30] = None
    people = np.flatnonzero([bool(scene.figures) for scene in scenes])
    said["hair_style_0"][people[:10]] = "none of these"
    said["x_0"][people[:20]] += 3.0
    numbers = measures.reader_numbers(scenes, said)
    assert numbers["accuracy"]["background"].value == pytest.approx(0.9)
    assert numbers["accuracy"]["hair_style"].value == pytest.approx(1 - 10 / len(people))
    assert numbers["error"]["x_px"].value == pytest.approx(60 / len(people))


def test_total_variation_lies_between_the_same_and_nothing_in_common():
    a = np.array(["left", "right", "left", "centre"], object)
    assert measures.total_variation(a, a) == 0
    assert measures.total_variation(a, np.array(["up"] * 7, object)) == pytest.approx(1)
    assert measures.total_variation(a, np.array(["left", "right"], object)) == pytest.approx(0.25)


def follow(monkeypatch, wrong_places: bool):
    """`followed` with a reader that says of each picture what its prompt asked for."""
    asked = [(f, *pair) for f, pairs in measures.follow_prompts(2).items() for pair in pairs]
    monkeypatch.setattr(measures, "read", lambda reader, pictures: {"n": np.arange(len(pictures))})

    def said(factor, readings):
        values = np.array([asked[n][2] for n in readings["n"]], object)
        return np.roll(values, 2) if factor == "place" and wrong_places else values

    monkeypatch.setattr(measures, "read_factor", said)
    prompts_drawn = []
    table = measures.followed(
        lambda prompts, guidance: prompts_drawn.extend(prompts) or np.zeros(len(prompts)), None, per_value=2, guidance=4
    )
    assert prompts_drawn == [prompt for _, prompt, _ in asked]
    return measures.follows(table)


def test_following_is_counted_factor_by_factor(monkeypatch):
    assert all(number.value == 1 for number in follow(monkeypatch, False).values())
    numbers = follow(monkeypatch, True)
    assert numbers["place"].value == 0 and numbers["background"].value == 1 and numbers["place"].n == 18


def test_names_are_followed_name_by_name(monkeypatch):
    people = [named_characters()[name] for name in NAMES for _ in range(2)]
    said = {
        f"{key}_0": np.array([getattr(c, key) for c in people], float)
        for key in ("hair_colour", "garment_colour", "eye_left", "eye_right")
    }
    said |= {
        f"{key}_0": np.array([getattr(c, key) for c in people], object) for key in ("hair_style", "garment", "emblem")
    }
    said["garment_0"][:2] = None  # the first name's two pictures
    said["garment_colour_0"][2:4] += 60  # the second's
    monkeypatch.setattr(measures, "read", lambda reader, pictures: said)
    numbers = measures.names_follow(lambda prompts, guidance: np.zeros(len(prompts)), None, per_name=2, guidance=4)
    assert numbers["hair"].value == numbers["eyes"].value == numbers["emblem"].value == 1
    assert numbers["garment"].value == pytest.approx(1 - 2 / len(NAMES)) and numbers["garment"].n == len(NAMES)
    assert numbers["emblem"].n < len(NAMES), "emblems only of names that have one"


@pytest.mark.parametrize(("low", "high", "expected"), [(0.6, 0.7, "yes"), (0.2, 0.4, "no"), (0.45, 0.6, "undecided")])
def test_a_verdict_asks_the_interval(low, high, expected):
    number = Interval(value=(low + high) / 2, low=low, high=high, n=100, unit="pictures")
    assert card.verdict("scorer_top1_of_200", number) == expected


def test_what_is_wanted_at_most_is_missed_above():
    spread = {key: Interval(value=0.05, low=0.0, high=0.09, n=9, unit="pictures") for key in card.TARGETS["spread_tv"]}
    assert card.missed({"spread_tv": spread}) == {"spread_tv": []} and card.verdict("spread_tv", spread) == "yes"
    spread["pose"] = Interval(value=0.2, low=0.15, high=0.3, n=9, unit="pictures")
    assert card.missed({"spread_tv": spread})["spread_tv"] == ["pose is 0.200 [0.150, 0.300], at most 0.1 was wanted"]
    assert card.verdict("spread_tv", spread) == "no"


def test_reasons_are_those_of_this_training(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "CHIBI", tmp_path)
    about = {"stages": {"unet": {"steps": 3}}}
    assert card.load_reasons(about) == {}
    key = card.content_hash(about)
    (tmp_path / "reasons.json").write_text(json.dumps({"training": key, "reasons": {"follows": "too short"}}))
    assert card.load_reasons(about) == {"follows": "too short"} and card.load_reasons({"stages": {}}) == {}
