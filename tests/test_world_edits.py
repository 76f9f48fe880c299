"""Edit prompts about chibi, and what the reader says of their pictures."""

import dataclasses

import numpy as np
import pytest

from helpers import prompts
from helpers.concepts import load_concept
from helpers.config import InputError
from helpers.models import CHIBI
from helpers.scorers import load_scorer
from helpers.world import edits, readings
from helpers.world import scene as w
from helpers.world.chibi import chibi_instruments
from helpers.world.newcomers import newcomer
from helpers.world.population import PAIRS, held_out_pairs, named_characters
from tests.test_world_measures import perfect


def test_the_committed_prompts_are_those_of_the_world():
    assert edits.as_yaml(edits.edit_prompts()) == prompts.edit_file("edits").read_text(encoding="utf-8")
    assert list(edits.edit_prompts()) == list(prompts.load_edit_prompts(prompts.edit_file("edits")))


def test_half_of_the_prompts_ask_for_what_training_never_shows_together():
    found = list(edits.edit_prompts())
    assert sum(prompt.combination == "held-out" for prompt in found) * 2 == len(found)
    assert len({prompt.text for prompt in found}) == len(found)
    for prompt in found:
        asked = dict(prompt.asks)
        gap = any((asked.get(a), asked.get(b)) in held_out_pairs()[a, b] for a, b in PAIRS)
        assert gap == (prompt.combination == "held-out"), prompt


@pytest.fixture
def scene():
    """A newcomer jumping on the moon beside a cat."""
    figure = w.Figure(character=newcomer(0).character, pose=w.POSES["jumping"], x=20, lift=0, scale=1)
    return w.Scene(
        figures=(figure,), background="moon", background_seed=0, object="cat", object_x=50, art_style="illustration"
    )


def asks(**wanted):
    return prompts.EditPrompt(kind="object", text="S*", asks=tuple(wanted.items()))


def test_a_picture_succeeds_if_nothing_was_lost(scene):
    wanted = [asks(object="cat"), asks(object="ball"), asks(background="moon", pose="jumping"), asks(place="left")]
    wanted += [asks(background="moon", object="ball"), asks(companion="miko")]
    found = readings.success(perfect([scene] * len(wanted)), wanted, newcomer(0).character)
    assert found["identity"].all()
    assert found["edit"].tolist() == found["joint"].tolist() == [True, False, True, True, False, False]
    other = readings.success(perfect([scene] * len(wanted)), wanted, newcomer(1).character)
    assert other["edit"].equals(found["edit"]) and not other["identity"].any() and not other["joint"].any()


def test_a_companion_stands_beside_the_concept(scene):
    def beside(character):
        return dataclasses.replace(scene.figures[0], character=character, x=48)

    miko, newcomers = named_characters()["miko"], [newcomer(0).character, newcomer(1).character]
    pairs = [(scene.figures[0], beside(miko)), (beside(newcomers[1]), beside(miko)), scene.figures]
    scenes = [dataclasses.replace(scene, figures=tuple(figures)) for figures in pairs]
    found = readings.success(perfect(scenes), [asks(companion="miko")] * 3, newcomers[0])
    assert found["edit"].tolist() == [True, True, False]
    assert found["identity"].tolist() == [True, False, True]
    assert found["joint"].tolist() == [True, False, False]


def test_of_two_figures_the_concept_must_do_what_was_asked(scene):
    def figure(character, pose, x):
        return w.Figure(character=character, pose=w.POSES[pose], x=x, lift=0, scale=1)

    concept, stranger = newcomer(0).character, newcomer(1).character
    pairs = [
        (figure(stranger, "waving", 16), figure(concept, "standing", 48)),
        (figure(stranger, "standing", 16), figure(concept, "waving", 48)),
        (figure(stranger, "standing", 16), figure(concept, "standing", 48)),
    ]
    scenes = [dataclasses.replace(scene, figures=pair) for pair in pairs]
    found = readings.success(perfect(scenes), [asks(pose="waving", background="moon")] * 3, concept)
    assert found["identity"].all()
    assert found["edit"].tolist() == [True, True, False] and found["joint"].tolist() == [False, True, False]


def test_strangers_have_no_identity_that_all_pictures_share():
    strangers = load_concept("five-strangers", size=w.SIZE)
    scorer = load_scorer("chibi", device="cpu")
    instruments, _ = chibi_instruments(scorer, strangers, CHIBI / "reader", "cpu")
    rows, _ = instruments.look(strangers.images[:2], [asks(background="moon")] * 2)
    assert rows["identity"].isna().all() and rows["edit"].notna().all()
    wrong = dataclasses.replace(strangers, scenes=[{"figures": [{}]}])
    with pytest.raises(InputError, match="take it away"):
        chibi_instruments(scorer, wrong, CHIBI / "reader", "cpu")


def test_shapes_stand_for_colours_where_a_style_has_none(scene):
    sketch = dataclasses.replace(scene, art_style="sketch")
    said = perfect([sketch])
    for slot in (0, 1):
        said[f"hair_colour_{slot}"] = said[f"garment_colour_{slot}"] = np.full((1, 3), np.nan)
    assert readings.looks_like(said, newcomer(0).character)[0, 0]
    bald = dataclasses.replace(newcomer(0).character, hair_style="bun")
    assert not readings.looks_like(said, bald).any()


def test_abstentions_are_in_the_table(scene):
    said = perfect([scene, scene])
    said["object"][1] = None
    table = readings.table(said)
    assert table["read_object"].isna().tolist() == [False, True] and table["read_pose"].tolist() == ["jumping"] * 2
    assert table["read_x"].tolist() == [20.0, 20.0]


def test_parts_are_alike_one_by_one(scene):
    character = newcomer(0).character
    changes = [
        {"hair_colour": (0, 255, 0)}, {"eye_shape": "wide"}, {"garment": "coat"}, {"emblem": "star"}, {},
    ]  # fmt: skip
    figures = [scene.figures[0]] + [
        dataclasses.replace(scene.figures[0], character=dataclasses.replace(character, **change)) for change in changes
    ]
    scenes = [dataclasses.replace(scene, figures=(figure,)) for figure in figures]
    found = readings.likeness(perfect(scenes), character)
    assert set(found) == {f"like_{part}" for part in readings.PARTS} and found.iloc[0].all()
    for row, part in ((1, "hair_colour"), (2, "eyes"), (3, "garment"), (4, "emblem")):
        assert not found.iloc[row][f"like_{part}"], part
        assert found.iloc[row].drop(f"like_{part}").all()
    sketch = readings.likeness(perfect([dataclasses.replace(scene, art_style="sketch")]), character)
    assert sketch[["like_hair_colour", "like_eyes", "like_garment_colour"]].isna().all(axis=None)
    assert sketch["like_hair_style"].all() and readings.likeness(perfect([scene]), None).isna().all(axis=None)


def test_two_characters_are_both_there_in_any_order(scene):
    people = [newcomer(n).character for n in (0, 1, 2)]
    left, right = ([dataclasses.replace(scene.figures[0], character=c, x=x) for c in people] for x in (16, 48))
    drawn = [(left[0], right[1]), (left[1], right[0]), (left[0], right[0]), (left[0], right[2]), (left[0],)]
    scenes = [dataclasses.replace(scene, figures=figures, object="none") for figures in drawn]
    found = readings.both_there(perfect(scenes), *people[:2])
    assert found.tolist() == [True, True, False, False, False]


def test_a_pair_succeeds_where_something_was_asked_and_both_are_there():
    pair = load_concept("alba-and-brio", size=64)
    instruments, _ = chibi_instruments(load_scorer("chibi", device="cpu"), pair, CHIBI / "reader", "cpu")
    images = pair.score_images[:6]
    background = pair.scenes[len(pair.scenes) - len(pair.score_images)]["background"]
    wanted = [asks(background=background)] * 3 + [prompts.EditPrompt(kind="photo", text="S*")] * 3
    found, _ = instruments.look(images, wanted)
    assert found["identity"].mean() > 0.5 and found["joint"][3:].isna().all()
    assert found["joint"][:3].tolist() == (found["edit"] & found["identity"])[:3].tolist()
