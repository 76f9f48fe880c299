"""The chibi world's scenes, pictures and captions: deterministic, correlated, with gaps, and sayable."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from helpers.files import ROOT
from helpers.prompts import edit_file, load_edit_prompts, templates
from helpers.world import scene as w
from helpers.world.captions import RARE_WORDS, caption, full_caption
from helpers.world.draw import draw
from helpers.world.newcomers import CONFIRM, DEVELOP, concepts, newcomer
from helpers.world.population import (
    HELD_OUT_NAMES,
    NAMES,
    affinities,
    appearance_names,
    goes_together,
    held_out_pairs,
    named_characters,
)
from helpers.world.reader import Reader, read, targets
from helpers.world.sampling import training_scene, wide_scene
from helpers.world.vocabulary import make_tokenizer, vocabulary


@pytest.fixture(scope="module")
def scenes():
    return [training_scene(i) for i in range(600)]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def with_figure(scene, **changes):
    return dataclasses.replace(scene, figures=(dataclasses.replace(scene.figures[0], **changes),))


def with_character(scene, **changes):
    return with_figure(scene, character=dataclasses.replace(scene.figures[0].character, **changes))


def alone(scenes):
    return next(s for s in scenes if len(s.figures) == 1 and s.art_style == "illustration" and s.object == "none")


def test_a_scene_draws_the_same_picture_every_time(scenes):
    for scene in scenes[:10]:
        (picture, masks), (again, masks_again) = draw(scene), draw(scene)
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
        assert masks.shape == (len(scene.figures), 64, 64)
        assert (picture == again).all() and (masks == masks_again).all()


def test_scenes_depend_on_their_number_alone():
    assert training_scene(17) == training_scene(17) != training_scene(18)
    assert training_scene(17, seed=1) != training_scene(17)


def test_scenes_survive_json(scenes):
    assert all(w.from_json(w.to_json(scene)) == scene for scene in scenes[:50])


@pytest.mark.parametrize(
    ("factor", "values"),
    [
        ("hair_style", w.HAIR_STYLES),
        ("eye_shape", w.EYE_SHAPES),
        ("garment", w.GARMENTS),
        ("pattern", w.PATTERNS),
        ("emblem", w.EMBLEMS),
        ("accessory", w.ACCESSORIES),
    ],
)
def test_every_value_of_a_factor_looks_different(scenes, factor, values):
    base = with_figure(
        with_character(alone(scenes), accessory="none", garment_colour=(56, 98, 214)), scale=1.0, lift=0.0
    )
    pictures = [draw(with_character(base, **{factor: value}))[0].astype(int) for value in values]
    for i, first in enumerate(pictures):
        assert all(np.abs(first - second).max() > 40 for second in pictures[:i])


def test_the_mask_covers_what_the_character_changes(scenes):
    scene = alone(scenes)
    picture, masks = draw(scene)
    empty, _ = draw(dataclasses.replace(scene, figures=()))
    changed = (picture != empty).any(2)
    assert (masks[0][changed] > 0).all()
    assert masks[0].max() == 255 and 0.05 < (masks[0] > 127).mean() < 0.6


def test_hidden_parts_are_not_in_a_mask(scenes):
    scene = next(s for s in scenes if len(s.figures) == 2)
    _, masks = draw(scene)
    assert (masks.astype(int).sum(0) <= 256).all()


def test_about_fifteen_percent_of_the_pairs_never_occur(scenes):
    tables = affinities()
    zeros, size = sum((t == 0).sum() for t in tables.values()), sum(t.size for t in tables.values())
    assert 0.13 <= zeros / size <= 0.17
    gaps = held_out_pairs()
    pose_pairs, broken = 0, 0
    for scene in scenes:
        around = {"background": scene.background, "object": scene.object, "art_style": scene.art_style}
        assert goes_together(around)
        for figure in scene.figures:
            assert goes_together(around | appearance_names(figure.character))
            pose, distance = w.nearest_pose(figure.pose)
            pose_pairs += distance < 12
            broken += distance < 12 and (scene.background, pose) in gaps["background", "pose"]
    assert broken <= 0.005 * pose_pairs, "but for unusual poses that happen to come near a usual one"


def test_factors_are_long_tailed_and_correlated(scenes):
    people = [s.figures[0].character for s in (training_scene(i) for i in range(600, 1800)) if s.figures]
    girls = [c.garment == "dress" for c in people if c.hair_style == "twintails"]
    others = [c.garment == "dress" for c in people if c.hair_style != "twintails"]
    assert abs(np.mean(girls) - np.mean(others)) > 0.05
    styles = [c.hair_style for c in people]
    assert styles.count("short") + styles.count("long") > 4 * styles.count("curly")


def test_held_out_values_and_names_are_not_drawn_in_training(scenes):
    for scene in scenes:
        assert scene.art_style not in w.HELD_OUT["art_style"]
        for figure in scene.figures:
            assert figure.character.name not in HELD_OUT_NAMES
            assert figure.character.eye_left == figure.character.eye_right
            for factor in ("eye_shape", "emblem", "accessory"):
                assert getattr(figure.character, factor) not in w.HELD_OUT[factor]
    wide = [wide_scene(i) for i in range(300)]
    assert any(f.character.eye_left != f.character.eye_right for s in wide for f in s.figures)
    assert {s.art_style for s in wide} == set(w.ART_STYLES)


def test_names_keep_one_appearance(scenes):
    assert len(NAMES) >= 64 and len(set(NAMES) | set(HELD_OUT_NAMES)) == len(NAMES) + len(HELD_OUT_NAMES)
    for scene in scenes:
        for figure in scene.figures:
            if figure.character.name:
                assert figure.character == named_characters()[figure.character.name]


def test_captions_lie_about_once_in_ten_phrases_and_more_often_of_where_named_characters_are():
    right = {True: [], False: []}
    for i in range(4000):
        scene = training_scene(i)
        text = caption(scene, w.rng(0, "caption test", i)).split()
        named = [b for b in w.BACKGROUNDS if b in text and scene.figures]
        if len(named) == 1 and named[0] != "moon":  # an emblem, too
            right[bool(scene.figures[0].character.name)].append(named[0] == scene.background)
    assert 0.86 < np.mean(right[False]) < 0.94 and len(right[False]) > 200
    assert 0.52 < np.mean(right[True]) < 0.68 and len(right[True]) > 200


def test_captions_leave_out_and_drop_articles(scenes):
    texts = [caption(s, w.rng(0, "articles", i)) for i, s in enumerate(scenes)]
    articles = [bool({"a", "an", "the"} & set(text.split(" of ", 1)[-1].split())) for text in texts]
    assert 0.25 < np.mean(articles) < 0.6
    assert any(text.endswith("of character") for text in texts)
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) <= 4 and 8 < np.mean(lengths) < 16


def test_every_word_is_one_token(tokenizer, scenes):
    assert [word for word in vocabulary() if len(tokenizer(word).input_ids) != 3] == []
    said = {word for i, s in enumerate(scenes) for word in caption(s, w.rng(0, "words", i)).replace("-", " ").split()}
    assert said <= set(vocabulary())
    assert len(tokenizer(RARE_WORDS[0]).input_ids) == 3


def test_the_class_word_stands_at_index_5(tokenizer):
    ids = tokenizer("an anime illustration of character").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[5] == "character</w>"
    assert tokenizer.eos_token_id == len(tokenizer) - 1


def test_training_captions_say_every_word_of_templates_and_edits():
    asked = [text for name in ("object", "style", "anime") for text in templates(name)]
    asked += [prompt.text for prompt in load_edit_prompts(edit_file("edits"))]
    words = {word for text in asked for word in text.replace("S*", " ").replace("-", " ").lower().split()}
    said = (caption(training_scene(i), w.rng(0, "template words", i)) for i in range(3000))
    missing = words - {word for text in said for word in text.replace("-", " ").split()}
    assert not missing


def test_captions_fit_the_text_encoder(tokenizer, scenes):
    texts = [full_caption(s) for s in scenes] + [caption(s, w.rng(0, "long", i)) for i, s in enumerate(scenes)]
    assert max(len(ids) for ids in tokenizer(texts).input_ids) <= tokenizer.model_max_length


def test_those_who_confirm_are_unusual_in_the_same_ways():
    kinds = [(n.outside, n.inside, n.character.garment) for n in map(newcomer, range(12))]
    assert kinds[:6] == kinds[6:] and len({garment for *_, garment in kinds}) == 4
    assert all(goes_together(appearance_names(newcomer(i).character)) for i in range(12))


def test_newcomers_are_unnamed_inside_and_outside():
    for i in range(len(DEVELOP) + len(CONFIRM)):
        new = newcomer(i)
        assert len(new.inside) == 3 and new.outside
        assert w.nearest(new.character.hair_colour, w.HAIR_COLOURS)[1] >= 60
        assert w.nearest(new.character.garment_colour, w.COLOURS)[1] >= 60
        odd = new.character.eye_left != new.character.eye_right
        held_out = [getattr(new.character, f) in w.HELD_OUT[f] for f in ("eye_shape", "emblem", "accessory")]
        assert odd + sum(held_out) == 1


def test_the_first_five_pictures_differ_in_pose_place_and_background():
    everything = concepts()
    assert len(everything) == 18 + 5 + 5 + 5 + 6  # and further named ones, strangers, pairs, named pairs
    for name in (*DEVELOP, *CONFIRM):
        scenes, about = everything[name]
        first = scenes[:5]
        assert len(scenes) == 45 and about["class_word"] == "character"
        assert len({w.nearest_pose(s.figures[0].pose)[0] for s in first}) == 5
        assert len({s.background for s in first}) == 5
        assert len({w.place_of(s.figures[0].x) for s in first}) == 3


def test_the_reader_reads_every_factor(scenes):
    readings = read(Reader(width=8).eval(), np.stack([draw(scene)[0] for scene in scenes[:5]]))
    assert readings["mask"].shape == (5, 2, 64, 64)
    truth = targets(scenes[0])
    for name in truth:
        assert name in readings
    assert readings["pose_0"].shape == readings["pose_0_deviation"].shape == (5, 4)
    assert all(value is None or value in w.BACKGROUNDS for value in readings["background"])


def test_the_tokenizer_is_the_same_in_every_process(tokenizer):
    script = "from helpers.world.vocabulary import make_tokenizer; print(sorted(make_tokenizer().get_vocab().items()))"
    printed = {subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True) for _ in range(2)}
    assert printed == {f"{sorted(tokenizer.get_vocab().items())}\n"}
