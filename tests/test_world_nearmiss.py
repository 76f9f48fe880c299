"""What CLIP is trained against: near misses of captions, and scenes as numbers."""

import dataclasses
from collections import Counter

import pytest
import torch

from helpers.world.captions import caption
from helpers.world.clip import contrastive, scene_features
from helpers.world.nearmiss import alternatives, near_miss, near_misses
from helpers.world.sampling import training_scene
from helpers.world.scene import rng
from helpers.world.vocabulary import make_tokenizer


def many(text: str, count: int = 400) -> set[str]:
    g = rng(0, "near misses of one caption")
    return {" ".join(near_miss(text.split(), g)) for _ in range(count)}


def test_the_word_that_follows_says_which_values_can_stand_there():
    assert set(alternatives("blue", "hair")) > {"blonde", "red"} and "yellow" not in alternatives("blue", "hair")
    assert "yellow" in alternatives("blue", "dress") and "golden" in alternatives("blue", "eyes")
    assert "heart" in alternatives("star", "emblem") and "ball" in alternatives("star", "")
    assert "pale" in alternatives("dark", "skin") and not alternatives("dark", "photo")


def test_prepositions_go_with_the_new_place():
    found = many("a photo of miko in the centre on the beach")
    assert "a photo of miko on the left on the beach" in found
    assert "a photo of miko in the centre in the forest" in found
    assert not any(phrase in text for text in found for phrase in ("in the left", "on the centre", "on the forest"))


def test_colours_are_exchanged_between_hair_and_clothes():
    assert "a girl with blue hair wearing red dress" in many("a girl with red hair wearing blue dress")


def test_a_caption_without_values_stays_what_it_is():
    assert many("a photo of one person") == {"a photo of one person"}


def test_near_misses_are_the_captions_but_for_a_word_or_two():
    tokenizer = make_tokenizer()
    texts = [caption(training_scene(i), rng(0, "caption", i)) for i in range(40)]
    ids = torch.tensor(tokenizer(texts, padding="max_length").input_ids)
    missed = near_misses(ids, 3, rng(0, "near misses"))
    assert missed.shape == (120, ids.shape[1]) and missed.dtype == ids.dtype
    changed = (missed != ids.repeat_interleave(3, 0)).sum(1).tolist()
    assert max(changed) <= 2 and Counter(changed)[1] > 60
    assert torch.equal(missed, near_misses(ids, 3, rng(0, "near misses")))


def test_a_near_miss_that_is_likelier_than_the_caption_costs_the_picture():
    logits, missed = 4 * torch.eye(3), torch.zeros(3, 2)
    assert contrastive(logits, missed) > contrastive(logits)
    missed[0, 0] = 6
    worse = contrastive(logits, missed)
    assert worse > contrastive(logits, torch.zeros(3, 2))
    left_out = contrastive(logits, torch.full((3, 2), -1e4))
    assert left_out == pytest.approx(float(contrastive(logits)), abs=1e-6)


def test_scenes_are_numbers_that_say_all_but_names():
    scenes = [training_scene(i) for i in range(200)]
    found = [scene_features(scene) for scene in scenes]
    assert {len(row) for row in found} == {len(found[0])} and all(0 <= row.min() <= row.max() <= 1 for row in found)
    named = next(s for s in scenes if s.figures and s.figures[0].character.name)
    first, *others = named.figures
    nameless = dataclasses.replace(first, character=dataclasses.replace(first.character, name=""))
    assert (scene_features(dataclasses.replace(named, figures=(nameless, *others))) == scene_features(named)).all()
    moved = dataclasses.replace(named, figures=(dataclasses.replace(first, x=first.x + 12), *others))
    assert (scene_features(moved) != scene_features(named)).any()
