"""States that no prompt has, and what is made of pictures drawn from them."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from helpers import clip_paths, clip_states, flow, interpolation, journeys, sights, states, textspace
from helpers.concepts import Concept
from helpers.config import InputError, SamplingConfig
from helpers.evaluation import Instruments
from helpers.flow import ENDS
from helpers.footprint import footprint_of
from helpers.inversion import word_rows
from helpers.models import CHIBI
from helpers.scorers import load_scorer
from helpers.workbench import Model, Workbench
from helpers.world import scene as w
from helpers.world.population import NAMES, named_characters
from helpers.world.reader import load_reader

WORDS = ["dog", "moon", "snow", "toy", "girl", "ball", "beach", "forest", "sketch", "pencil"]


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_scorer(str(tiny.save_scorer(tmp_path_factory.mktemp("scorer") / "s")), device="cpu")


@pytest.fixture(scope="module")
def cast(pipeline):
    return journeys.named_cast(pipeline, WORDS, chibi=False, count=3, seed=0)


@pytest.fixture(scope="module")
def frame(pipeline):
    placed = textspace.of_words(pipeline.tokenizer, WORDS)
    states_of = states.layer_states(pipeline.text_encoder, placed.ids)[-1]
    return journeys.frame_of(states.final_norm(pipeline.text_encoder), states_of[:, 5:])


@pytest.fixture(scope="module")
def photos():
    return torch.randint(0, 256, (3, 3, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE), dtype=torch.uint8)


def test_rows_in_the_placeholders_place_are_words_there(pipeline):
    rows = torch.stack([word_rows(pipeline, word) for word in ("dog", "moon")])
    assert torch.allclose(flow.states_of_rows(pipeline, rows), flow.prompt_states(pipeline, ("dog", "moon")), atol=1e-6)


def test_pairs_of_names_are_disjoint_and_cannot_be_taken_for_each_other():
    pairs = flow.pairs_of_names(20, seed=0)
    names = [name for pair in pairs for name in pair]
    assert len(pairs) == 20 and len(set(names)) == 40 and set(names) <= set(NAMES)
    people = named_characters()
    assert all(flow.far_apart(people[one], people[other]) for one, other in pairs)
    assert not flow.far_apart(people["aki"], people["aki"])
    assert flow.pairs_of_names(20, seed=0) == pairs != flow.pairs_of_names(20, seed=1)


def test_casts_of_another_models_words(cast):
    assert cast.names == (("dog", "toy"), ("moon", "girl"), ("snow", "ball")) and cast.people is None
    assert cast.states.shape == (3, 2, tiny.TEXT_LENGTH, tiny.WIDTH) and cast.rows.shape == (3, 2, tiny.WIDTH)
    assert torch.equal(cast.states[:, 0, :5], cast.states[:, 1, :5])  # nothing before the word differs
    assert cast.first(2).names == cast.names[:2] and len(cast.first(2).states) == 2


def test_points_along_paths_share_their_ends_and_what_comes_before(pipeline, cast, frame):
    times = torch.linspace(0, 1, 5)
    points = flow.along(cast.states, frame, times, first=5) + flow.along_inputs(pipeline, cast.rows, times)
    labels = pd.DataFrame([dict(point.labels) for point in points])
    assert (labels[labels["path"] == ENDS].groupby("pair").size() == 2).all()
    assert (labels[labels["path"] != ENDS].groupby(["pair", "path"]).size() == 3).all()
    assert set(labels["path"]) == {ENDS, *interpolation.paths(frame), *flow.OF_INPUTS}
    assert all(torch.allclose(p.states[:5], cast.states[0, 0, :5], atol=1e-6) for p in points)
    straight = [p for p in points if p.labels["path"] == "linear" and p.labels["pair"] == 1]
    assert torch.allclose(straight[1].states, cast.states[1].mean(0), atol=1e-6)
    inputs = [p for p in points if p.labels["path"] == "inputs, linear" and p.labels["pair"] == 1]
    middle = flow.states_of_rows(pipeline, cast.rows[1].mean(0, keepdim=True))[0]
    assert torch.allclose(inputs[1].states, middle, atol=1e-6)


@pytest.mark.parametrize("most", [0, 5])
def test_noise_flows_through_all_positions_or_none(pipeline, cast, photos, most):
    points = flow.patches(cast.states, states.position_sets(5, tiny.TEXT_LENGTH))
    noise = flow.noise_of(pipeline, points, photos, seed=0, most=most)
    assert noise.shape == (len(points), 16 * 4 * 8 * 8)
    found = flow.flow_of_noise(flow.labels_of(points), noise).pivot(index="pair", columns="positions", values="share")
    assert np.allclose(found["none"], 0) and np.allclose(found["all"], 1, atol=1e-5)
    between = found[["index 5", "all after the name"]]
    assert ((between > -0.5) & (between < 1.5)).all().all()


def test_pictures_of_points_are_those_of_prompts(pipeline, scorer, cast):
    config = SamplingConfig(steps=2, batch_size=4)
    points = flow.patches(cast.states, {"none": (), "all": tuple(range(5, tiny.TEXT_LENGTH))})
    seen = sights.look_at(pipeline, scorer, points, images=2, config=config)
    assert len(seen.rows) == 12 and len(seen.pictures) == 6 and len(seen.vectors) == 12
    assert list(seen.labels["positions"]) == ["none", "all"] * 3
    plain = sights.sample_states(
        pipeline, flow.prompt_states(pipeline, ("toy", "dog")), which=[0, 1], indices=[0, 0], config=config
    )
    assert (plain.int() - seen.pictures[:2].int()).abs().max() <= 1


def bench_of(pipeline, scorer, photos):
    model = Model(pipeline=pipeline, fingerprint="", footprint=footprint_of(pipeline))
    concept = Concept(
        name="c", images=photos, masks=None, names=(), score_images=photos[:0], score_masks=None, facts={}, scenes=[]
    )
    return Workbench(model=model, concept=concept, instruments=Instruments(scorer=scorer), fingerprints={})


def test_a_journey_is_measured_path_by_path(pipeline, scorer, cast, frame, photos):
    bench, options = bench_of(pipeline, scorer, photos), {"first": 5, "times": torch.linspace(0, 1, 3), "images": 1}
    options |= {"config": SamplingConfig(steps=2, batch_size=8), "reader": None}
    found = journeys.travel(bench, cast.first(2), frame, **options)
    assert len(found.sights.labels) == 2 * (2 + 9) == len(found.sights.pictures)
    for table in (found.smooth, found.noise):
        assert (table.groupby("path").size() == 2).all() and table["path"].nunique() == 9
    shape = journeys.geometry_of_paths(cast, frame, index=5)
    assert shape[interpolation.EXACT]["off_shell"].value < 1e-4 and shape["linear"]["off_shell"].n == 3
    assert len(clip_paths.about_journeys(found)) == 9 and len(clip_paths.about_paths(shape)) == 7
    one = journeys.travel(bench, cast.first(1), frame, **options)
    assert "[" not in clip_paths.about_journeys(one).loc["linear"].iloc[0]
    above = clip_paths.above_exact({"names": found, "tokens": one}, list(shape))
    assert above["all"]["noise"]["linear"].n == 3 and above["names"]["pictures"]["linear"].n == 2
    assert interpolation.EXACT not in above["all"]["noise"] and not above["tokens"]["noise"]
    assert list(clip_paths.about_choice(above).columns) == [
        "noise, names",
        "pictures, names",
        "noise, all",
        "pictures, all",
    ]
    assert "class word" not in clip_paths.verdict_on_paths(interpolation.EXACT, above, above, shape)


def test_tokens_are_paired_with_their_class_word(pipeline, scorer, photos):
    concept = bench_of(pipeline, scorer, photos).concept
    row = torch.randn(1, tiny.WIDTH)
    found = journeys.learned_cast(pipeline, {"c": (concept, row)}, "dog")
    assert found.names == (("dog", "c"),) and found.people == [(None, None)]
    assert torch.allclose(found.states[0, 0], flow.prompt_states(pipeline, ["dog"])[0], atol=1e-6)
    assert torch.equal(found.rows[0, 1], row[0])


def test_tokens_are_learned_once_and_refused_where_they_must_not_be(pipeline, scorer, photos, tmp_path):
    benches = {"c": bench_of(pipeline, scorer, photos)}
    configs = journeys.trainings(benches, "dog", steps=2, seed=0)
    assert configs["c"].training.class_word == "dog" and configs["c"].training.steps == 2
    with pytest.raises(InputError, match="the token of c is not in"):
        journeys.check_trainings(benches, configs, train="never", folder=tmp_path)
    with pytest.raises(InputError, match="class word 'zebra'"):
        journeys.check_trainings(
            benches, journeys.trainings(benches, "zebra", steps=2, seed=0), train="missing", folder=tmp_path
        )
    concept, rows = journeys.learned_rows(benches, configs, folder=tmp_path)["c"]
    assert concept.name == "c" and rows.shape == (1, tiny.WIDTH)
    journeys.check_trainings(benches, configs, train="never", folder=tmp_path)
    assert torch.equal(journeys.learned_rows(benches, configs, folder=tmp_path)["c"][1], rows)


def test_companions_are_chibis_newcomers():
    assert journeys.companions("echo", model="chibi", count=3) == ["echo", "alba", "brio"]
    assert journeys.companions("echo", model="other", count=3) == ["echo"]
    assert journeys.companions("mug", model="chibi", count=3) == ["mug"]


def test_nobody_known_is_missing_and_not_false():
    readings = np.zeros((2, 64, 64, 3), np.uint8)
    reader = load_reader(CHIBI / "reader")
    pictures = torch.from_numpy(readings).permute(0, 3, 1, 2)
    people = [(None, named_characters()["aki"]), (None, None)]
    found = sights._read(reader, pictures, pd.Series([0, 1]), people)
    assert found["first"].isna().all() and found["second"].notna().tolist() == [True, False]


def points_of(turns):
    """Rows and unit vectors of one pair along one path, which turn by these angles from its start."""
    angles = torch.tensor([0.0, turns[-1], *turns[:-1]])
    times = [0.0, 1.0, *np.linspace(0, 1, len(turns) + 1)[1:-1]]
    rows = pd.DataFrame({"pair": 0, "path": [ENDS, ENDS, *["p"] * (len(turns) - 1)], "t": times, "index": 0})
    return rows, torch.stack([angles.cos(), angles.sin()], dim=1)


def test_evenness_in_closed_form():
    even = sights.evenness(*points_of([0.1, 0.2, 0.3, 0.4])).iloc[0]
    assert even["unevenness"] == pytest.approx(1, abs=1e-3) and even["detour"] == pytest.approx(1, abs=0.01)
    sudden = sights.evenness(*points_of([0.0, 0.0, 0.4, 0.4])).iloc[0]
    assert sudden["unevenness"] == pytest.approx(4, abs=1e-3)
    astray = sights.evenness(*points_of([0.4, 0.8, 0.4, 0.2])).iloc[0]
    assert astray["detour"] > 5


def test_the_exact_path_is_recommended_unless_another_is_more_even():
    g = np.random.default_rng(0)
    rows = [
        {"pair": p, "path": path, "unevenness": 2 + g.normal(0, 0.05) + shift}
        for p in range(12)
        for path, shift in ((interpolation.EXACT, 0), ("linear", 0), ("slerp, mean", 0.4))
    ]
    smooth = pd.DataFrame(rows)
    everything = [interpolation.EXACT, "linear", "slerp, mean"]
    assert sights.recommended(smooth, everything) == interpolation.EXACT
    smooth.loc[smooth["path"] == "linear", "unevenness"] -= 0.5
    assert sights.recommended(smooth, everything) == "linear"
    assert sights.recommended(smooth, [interpolation.EXACT, "slerp, mean"]) == interpolation.EXACT


def flow_rows(hits):
    """Rows of 6 pairs and 4 pictures by set of positions; `hits` of a set's pictures show the source."""
    return pd.DataFrame(
        [
            {"pair": p, "positions": name, "index": i, "first": i < count, "second": False}
            for name, count in hits.items()
            for p in range(6)
            for i in range(4)
        ]
    )


def test_the_smallest_set_of_positions_that_carries_identity():
    sets = {"none": (), "index 5": (5,), "padding": (7, 8), "all": (5, 6, 7, 8)}
    assert clip_states.carriers(flow_rows({"none": 0, "index 5": 4, "padding": 0, "all": 4}), sets) == "index 5"
    assert clip_states.carriers(flow_rows({"none": 0, "index 5": 1, "padding": 4, "all": 4}), sets) == "padding"
    assert clip_states.carriers(flow_rows({"none": 0, "index 5": 1, "padding": 2, "all": 4}), sets) == "all"
    half = clip_states.through_index(flow_rows({"none": 0, "index 5": 1, "all": 4}), 5)
    assert half.value == pytest.approx(0.25 - 0.5) and half.unit == "pairs"


def test_half_way_counts_who_is_there():
    rows = pd.DataFrame(
        {"pair": 0, "index": 0, "path": [ENDS, "p", "p", "p"], "t": [0, 0.25, 0.5, 0.75], "count": 1, "first": False}
    ).assign(second=[False, False, True, True])
    found = sights.half_way(rows)
    assert len(found) == 1 and not found["neither"].iloc[0] and found["whole"].iloc[0]


def test_shares_and_means_are_over_pairs():
    rows = pd.DataFrame(
        [{"pair": p, "index": i, "by": "x", "hit": p == 0, "size": float(p)} for p in range(3) for i in range(4)]
    )
    share = sights.shares_over_pairs(rows, "hit", by="by")["x"]
    assert share.value == pytest.approx(1 / 3) and share.n == 3 and share.unit == "pairs" and share.low >= 0
    assert sights.over_pairs(rows, "size", by="by")["x"].value == 1


def test_colours_travel_in_a_straight_line():
    first, second = (
        w.Character(**{**vars(named_characters()["aki"]), "hair_colour": hair, "garment_colour": cloth})
        for hair, cloth in (((0, 0, 0), (10, 0, 0)), ((200, 0, 0), (10, 100, 0)))
    )
    seen = {
        "hair_colour_0": np.array([[0, 0, 0], [100, 0, 0], [200, 0, 0], [np.nan] * 3]),
        "garment_colour_0": np.array([[10, 0, 0], [10, 50, 0], [10, 100, 0], [10, 0, 0]]),
    }
    assert np.allclose(sights.travelled(seen, first, second), [0, 0.5, 1, np.nan], equal_nan=True)
