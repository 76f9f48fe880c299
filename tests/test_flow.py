"""States that no prompt has, and what is made of pictures drawn from them."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from helpers import flow, interpolation, journeys, sights, states, textspace, tokens
from helpers.config import SamplingConfig
from helpers.flow import ENDS
from helpers.inversion import word_rows
from helpers.scorers import load_scorer
from helpers.sights import Sights
from helpers.world import scene as w
from helpers.world.population import NAMES, named_characters

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
    return journeys.frame_of(textspace.encoded(pipeline.text_encoder, placed, placed), first=5)


def test_rows_in_the_placeholders_place_are_words_there(pipeline):
    rows = torch.stack([word_rows(pipeline, word) for word in ("dog", "moon")])
    assert torch.allclose(flow.states_of_rows(pipeline, rows), flow.prompt_states(pipeline, ("dog", "moon")), atol=1e-6)
    learned = flow.prompt_states(pipeline, ["S*"], rows=rows[:1])
    assert torch.allclose(learned, flow.prompt_states(pipeline, ["dog"]), atol=1e-6)


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


def test_noise_flows_through_all_positions_or_none(pipeline, cast):
    sets = states.position_sets(5, tiny.TEXT_LENGTH)
    images = torch.randint(0, 256, (3, 3, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE), dtype=torch.uint8)
    found = flow.flow_of_noise(pipeline, cast.states, images, sets, seed=0).pivot(
        index="pair", columns="positions", values="share"
    )
    assert np.allclose(found["none"], 0) and np.allclose(found["all"], 1, atol=1e-5)
    between = found[["index 5", "all after the name"]]
    assert ((between > -0.5) & (between < 1.5)).all().all()


def test_pictures_of_points_are_those_of_prompts(pipeline, scorer, cast):
    config = SamplingConfig(steps=2, batch_size=4)
    points = flow.patches(cast.states, {"none": (), "all": tuple(range(5, tiny.TEXT_LENGTH))})
    seen = sights.look_at(pipeline, scorer, points, images=2, config=config)
    assert len(seen.rows) == 12 and len(seen.pictures) == 6 and len(seen.vectors) == 12
    texts = [states.TEMPLATE.replace("S*", word) for word in ("toy", "dog")]
    assert tokens.tokenize(pipeline.tokenizer, texts).shape[0] == 2
    plain = sights.sample_states(
        pipeline, flow.prompt_states(pipeline, ("toy", "dog")), which=[0, 1], indices=[0, 0], config=config
    )
    assert (plain.int() - seen.pictures[:2].int()).abs().max() <= 1


def test_a_journey_is_measured_path_by_path(pipeline, scorer, cast, frame):
    found = journeys.travel(
        pipeline,
        scorer,
        cast.first(2),
        frame,
        first=5,
        times=torch.linspace(0, 1, 3),
        images=1,
        config=SamplingConfig(steps=2, batch_size=8),
        reader=None,
    )
    assert len(found.labels) == 2 * (2 + 9) == len(found.sights.pictures)
    assert (found.smooth.groupby("path").size() == 2).all() and found.smooth["path"].nunique() == 9
    shape = journeys.geometry_of_paths(cast, frame, index=5)
    assert shape[interpolation.EXACT]["off_shell"].value < 1e-4 and shape["linear"]["off_shell"].n == 3


def sights_of(turns):
    """A journey of one pair along one path, whose unit vectors turn by these angles from its start."""
    angles = torch.tensor([0.0, turns[-1], *turns[:-1]])
    times = [0.0, 1.0, *np.linspace(0, 1, len(turns) + 1)[1:-1]]
    rows = pd.DataFrame({"pair": 0, "path": [ENDS, ENDS, *["p"] * (len(turns) - 1)], "t": times, "index": 0})
    return Sights(rows=rows, vectors=torch.stack([angles.cos(), angles.sin()], dim=1), pictures=torch.empty(0))


def test_evenness_in_closed_form():
    even = sights.evenness(sights_of([0.1, 0.2, 0.3, 0.4])).iloc[0]
    assert even["unevenness"] == pytest.approx(1, abs=1e-3) and even["detour"] == pytest.approx(1, abs=0.01)
    sudden = sights.evenness(sights_of([0.0, 0.0, 0.4, 0.4])).iloc[0]
    assert sudden["unevenness"] == pytest.approx(4, abs=1e-3)
    astray = sights.evenness(sights_of([0.4, 0.8, 0.4, 0.2])).iloc[0]
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
    chosen, above = sights.recommended(smooth, everything)
    assert chosen == interpolation.EXACT and set(above) == {"linear", "slerp, mean"}
    assert above["slerp, mean"].low > 0
    smooth.loc[smooth["path"] == "linear", "unevenness"] -= 0.5
    assert sights.recommended(smooth, everything)[0] == "linear"


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
