"""Report 02 asks for what its paper has, trains nothing twice, and takes a user's one concept."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

from helpers import inversion_casts as casts
from helpers import inversion_factors as factors
from helpers import trained
from helpers.concepts import load_concept
from helpers.config import InputError, InversionConfig
from helpers.grid import scored_at
from helpers.inversion_runs import BARE, CLASS_WORD, Setup
from helpers.inversion_sizes import SIZES
from helpers.models import load_pipeline
from helpers.world.newcomers import CONFIRM, DEVELOP

load = functools.cache(functools.partial(load_concept, size=64))


def setup(profile, **changes):
    size = SIZES[profile]
    options = {
        "size": size,
        "model": "chibi",
        "scorer": "chibi",
        "class_word": "",
        "rates": tuple(0.3 * factor for factor in size.factors),
        "usual": 0.3,
        "seed": 0,
        "batch_size": 4,
        "template_set": "object",
        "images": 0,
        "edits": "edits",
        "guidance_scale": 4.0,
    }
    return Setup(**options | changes)


@pytest.fixture(scope="module")
def full():
    return casts.all_runs(setup("full"), "alba", load)


def of(runs, section):
    return [run for run in runs if run.section == section]


def test_the_headline_spans_three_decades_on_six_concepts_and_two_seeds(full):
    runs = of(full, "rates")
    rates = sorted({run.config.training.learning_rate for run in runs})
    assert len(rates) >= 8 and np.log10(rates[-1] / rates[0]) >= 3
    assert {run.config.concept for run in runs} == set(DEVELOP) and len(runs) == len(rates) * 6 * 2
    assert all(scored_at(run.config) == (1000,) and run.config.training.batch_size == 4 for run in runs)
    updates = {step for run in of(full, "updates") for step in scored_at(run.config)}
    assert updates == {125, 250, 500, 2000, 4000}


def test_what_is_scored_in_several_ways_is_trained_once(full):
    alba = [run.config for run in full if run.config.concept == "alba" and run.config.model == "chibi"]
    first = {c.training for c in alba if isinstance(c.training, InversionConfig) and c.training.steps == 4000}
    assert len(first) == 8, "headline, further updates, guidance and seen pairs share eight trainings"
    for section in ("updates", "guidance", "seen"):
        learned = {r.config.training for r in of(full, section) if isinstance(r.config.training, InversionConfig)}
        assert learned <= {run.config.training for run in of(full, "rates")}


def test_every_configuration_of_the_paper_is_there(full):
    ways = {run.condition for run in of(full, "configurations")}
    assert {"2 vectors", "3 vectors", "2 vectors, progressive", "token for each image", "length held"} <= ways
    assert {"1 picture", "2 pictures", "3 pictures", "10 pictures", "25 pictures"} <= ways
    assert {"short description", "long description", "from girl", "from random", "word's length, turned 0.4"} <= ways
    assert sum(way.startswith("L2") for way in ways) >= 3 and any(way.startswith("direction") for way in ways)
    for way in ways:
        assert sum(run.condition == way for run in of(full, "configurations")) == 6, way


def test_controls_and_confirmation_have_six_of_each(full):
    assert {run.config.concept for run in of(full, "confirmation")} == set(CONFIRM)
    for section, others in (("named", {"name", "token"}), ("strangers", {"token"})):
        runs = of(full, section)
        assert len({run.config.concept for run in runs}) == 6
        assert {run.condition for run in runs} == others | {CLASS_WORD, BARE}
    pairs = of(full, "pairs")
    assert {way: sum(run.condition == way for run in pairs) for way in {run.condition for run in pairs}} == {
        "learned apart": 6,
        "learned together": 6,
        "two characters": 6,
        "two names": 6,
    }
    together = next(run.config for run in pairs if run.condition == "learned together")
    apart = next(run.config for run in pairs if run.condition == "learned apart")
    assert together.training.steps == 2 * apart.pivot.steps and together.images == 2 * 5
    assert {run.config.model for run in of(full, "second model")} == {"chibi-b"}


def test_chibi_knows_every_word_of_every_run(full):
    pipeline = load_pipeline("chibi", device="cpu")
    for run in full:
        trained.check(run.config, pipeline)


def test_a_users_concept_is_studied_alone():
    runs = casts.all_runs(setup("full", class_word="character"), "five-strangers", load)
    assert {run.config.concept for run in runs} == {"five-strangers"}
    assert {run.section for run in runs} == {"references", "rates", "guidance", "configurations"}
    elsewhere = setup("full", model="../sd", scorer="ViT-B-32/openai")
    assert casts.studied(elsewhere, "alba") == ("alba",) and casts.studied(setup("quick"), "alba") == ("alba",)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_low_and_a_high_rate_are_there_whatever_their_number(count):
    rates = tuple(float(k) for k in range(1, count + 1))
    low, high = casts.low_and_high(rates)
    assert low in rates and high in rates and low <= high


def test_fewer_updates_leave_the_sizes_whole():
    size = dataclasses.replace(SIZES["full"], steps=20, checkpoints=())
    runs = casts.all_runs(setup("full", size=size), "alba", load)
    assert {scored_at(run.config) for run in of(runs, "rates")} == {(20,)} and not of(runs, "updates")


def test_what_lies_in_reach_is_what_the_concept_says():
    reach = factors.reach_of(load("alba"))
    assert reach == {
        "hair_colour": "unnamed",
        "hair_style": "unnamed",
        "eyes": "outside",
        "garment": "named",
        "garment_colour": "unnamed",
        "emblem": "named",
    }
    assert factors.reach_of(load("echo"))["accessory"] == "outside"


def test_surroundings_overlap_with_themselves():
    concepts = {name: load(name) for name in ("alba", "brio")}
    rows = [
        pd.DataFrame({"read_background": factors.values_of(concept, "background")}).assign(concept=name)
        for name, concept in concepts.items()
    ]
    rows = pd.concat(rows).assign(kind="photo", condition="copy")
    assert factors.overlap(rows, concepts, "background", ["copy"])["copy"].value == pytest.approx(1)
    elsewhere = rows.assign(read_background="nowhere")
    assert factors.overlap(elsewhere, concepts, "background", ["copy"])["copy"].value == 0


def test_bad_numbers_of_pictures_are_refused():
    with pytest.raises(InputError, match="photos"):
        setup("quick").scored(-1, 2)
