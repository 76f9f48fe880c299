"""What report 02 makes of rows whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from helpers import inversion_report as report
from helpers import inversion_table as tables
from helpers import inversion_uses as uses
from helpers import inversion_verdicts as verdict
from helpers.inversion_runs import BARE, CLASS_WORD
from helpers.stats import Interval

PHOTO, EDITS = "a photo of S*", ("a photo of S* on the moon", "a photo of S* next to a ball")
RATES = {0.01: "rate 0.01", 0.1: "rate 0.1", 1.0: "rate 1", 10.0: "rate 10", 100.0: "rate 100"}


def drawn(concept, condition, *, kept, obeyed, right, far=np.nan, seed=0, step=0, count=12, noise=0.02, product=np.nan):
    """Rows of one run: scores around the given ones, `right` of the pictures with edit and identity right."""
    g = np.random.default_rng(list(f"{concept} {condition} {seed} {step}".encode()))
    parts = []
    for prompt in (PHOTO, *EDITS):
        part = pd.DataFrame({"index": range(count)})
        part["prompt"], part["kind"] = prompt, "photo" if prompt == PHOTO else "background"
        part["combination"] = "" if prompt == PHOTO else "single"
        part["reconstruction_unseen"] = kept + g.normal(0, noise, count)
        part["editability_share"] = part["text_cosine"] = obeyed + g.normal(0, noise, count)
        told = pd.array(np.arange(count) < right * count, dtype="boolean")
        part["identity"], part["edit"], part["joint"] = told, told, told
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True)
    rows.loc[rows["prompt"] == PHOTO, ["edit", "joint"]] = pd.NA
    ids = {"run": f"{concept} {condition} {seed}", "concept": concept, "seed": seed, "step": step}
    distances = {"displacement": far, "path_length": 2 * far, "function_distance_token": far / 10}
    return rows.assign(**ids, **distances, learning_rate_steps=product)


CONCEPTS = tuple("abcdef")


def everything(concepts=CONCEPTS, seeds=(0, 1)):
    parts = []
    for n, concept in enumerate(concepts):
        parts.append(drawn(concept, CLASS_WORD, kept=0.4, obeyed=0.6, right=0.1))
        parts.append(drawn(concept, BARE, kept=0.2, obeyed=0.7, right=0.0))
        for k, (rate, name) in enumerate(RATES.items()):
            far = 10 ** (k / 2 - 0.5 + 0.05 * n)
            obeyed = 0.6 - 0.1 * max(0, k - 2)
            score = {"kept": 0.4 + 0.06 * k, "obeyed": obeyed, "right": 0.2 * k, "far": far, "product": rate}
            parts += [drawn(concept, name, **score, seed=seed, step=1000) for seed in seeds]
    rows = pd.concat(parts, ignore_index=True)
    labels = rows[["run"]].drop_duplicates().assign(condition=lambda t: t["run"].str.split(" ", n=1).str[1].str[:-2])
    labels["section"] = np.where(labels["condition"].isin(RATES.values()), "rates", "references")
    prompts = [(concept, prompt) for concept in concepts for prompt in EDITS]
    own = pd.DataFrame(prompts, columns=["concept", "prompt"]).assign(editability=0.2, reconstruction=0.8)
    return rows, labels, own


@pytest.fixture(scope="module")
def main():
    rows, labels, own = everything()
    return tables.normalised(report.of_section(rows, labels, "rates", "references"), labels, own)


def test_references_are_nought_and_one(main):
    found = report.scored(main, [BARE, CLASS_WORD])
    assert found[BARE]["kept"].value == pytest.approx(0, abs=1e-6)
    assert found[BARE]["obeyed"].value == pytest.approx(1, abs=1e-6)
    assert found[CLASS_WORD]["kept"].value == pytest.approx((0.4 - 0.2) / 0.6, abs=0.03)
    assert found[CLASS_WORD]["obeyed"].value == pytest.approx((0.6 - 0.2) / 0.5, abs=0.03)


def test_numbers_are_over_concepts(main):
    (numbers,) = report.scored(main, ["rate 10"]).values()
    assert {number.unit for number in numbers.values()} == {"concepts"} and numbers["joint"].n == 6
    assert numbers["joint"].value == pytest.approx(8 / 12) and set(numbers) == set(report.SCORES)


def test_differences_pair_what_both_have_drawn(main):
    with_seeds = report.against(main, "rate 100", CLASS_WORD, "joint")
    assert with_seeds.value == pytest.approx(10 / 12 - 2 / 12) and with_seeds.n == 6
    fewer = main[(main["condition"] != "rate 1") | (main["index"] < 4)]
    assert report.against(fewer, "rate 1", "rate 100", "joint").value == pytest.approx(0), "the first four are right"
    assert report.against(main[main["condition"] != "rate 1"], "rate 1", "rate 10", "kept") is None


def test_curves_rise_and_fall_with_the_distance(main):
    names = list(RATES.values())
    assert report.curve(main, names, "kept").shape == (6, 5) == report.curves_of(main, names)[0].shape
    assert report.correlations(main, names, "kept").low > 0.9 and report.correlations(main, names, "obeyed").high < 0
    knee = report.bent(main, names)
    assert knee["distance"].low < 10**0.65 and knee["distance"].high > 10**0.5 and knee["change"].high < 0
    assert verdict.knee(knee) == "yes"
    assert report.rate_at(main, RATES, knee["distance"].value) == pytest.approx(1.0, rel=0.6)
    chosen = report.balance(main, RATES)
    assert chosen.value == 1.0
    best, far_off = (report.regret(main, RATES, name) for name in ("rate 1", "rate 100"))
    assert best.value == best.low == 0 and far_off.low > 0.05, "no interval of the best rate is below nought"


def test_one_concept_has_intervals_over_its_pictures():
    rows, labels, own = everything(concepts=("a",), seeds=(0,))
    alone = tables.normalised(rows.merge(labels, on="run"), labels, own)
    assert report.unit_name(alone) == "images" and report.unit_of(alone) == "index"
    assert report.score(alone[alone["condition"] == "rate 1"], "kept").unit == "images"
    assert report.bent(alone, list(RATES.values()))["distance"].unit == "images"
    rank = report.correlations(alone, list(RATES.values()), "kept")
    assert rank.unit == "images" and rank.value > 0.999, "of the mean curve, whatever single pictures do"
    twice = alone[alone["seed"] == 0]
    assert report.units_of(pd.concat([alone, twice.assign(seed=1)])) == ("concept", "index"), "two seeds are no unit"


def test_every_prompt_weighs_alike_in_an_identity():
    one = {"seed": 0, "condition": "rate 1"}
    rows = pd.DataFrame(
        [
            {
                **one,
                "concept": c,
                "prompt": p,
                "kind": p,
                "index": i,
                "identity": p == "photo",
            }
            for c in "abcdef"
            for p, count in (("photo", 8), ("moon", 2))
            for i in range(count)
        ]
    ).astype({"identity": "boolean"})
    assert report.score(rows, "identity").value == 0.5 == report.curve(rows, ["rate 1"], "identity").to_numpy().mean()
    assert len(report.known(rows, "identity")) == 6 * 2 * 2
    assert (
        report.score(rows[rows["kind"] == "photo"], "identity").value == 1
        and len(report.known(rows[:0], "identity")) == 0
    )


def test_pictures_that_all_concepts_share_are_images_and_no_concepts():
    noise, one = np.random.default_rng(0).random(20), {"seed": 0, "condition": CLASS_WORD, "prompt": "moon"}
    rows = pd.DataFrame(
        [
            {
                **one,
                "concept": c,
                "kind": "background",
                "index": i,
                "edit": x > 0.5,
            }
            for c in "abcdef"
            for i, x in enumerate(noise)
        ]
    ).astype({"edit": "boolean"})
    found = report.score(rows, "edit")
    assert found.unit == "images" and found.n == 20 and found.high - found.low > 0.3
    rows.loc[0, "edit"] = ~rows.loc[0, "edit"]
    assert report.score(rows, "edit").unit == "concepts"


def test_rates_that_an_interval_cannot_tell_from_the_chosen_one_are_named(main):
    assert "rate 100" not in report.not_apart(main, RATES, "rate 1")
    twin = {**RATES, 1.1: "twin"}
    both = pd.concat([main, main[main["condition"] == "rate 1"].assign(condition="twin")])
    assert "twin" in report.not_apart(both, twin, "rate 1")


def test_the_answer_says_what_is_known(main):
    names = list(RATES.values())
    assert verdict.said_of_trade({}) and "Too few" in verdict.said_of_knee(None)
    rises = {value: report.correlations(main, names, value) for value in ("kept", "obeyed")}
    trade = verdict.said_of_trade(rises)
    assert "reconstruction rises (rank" in trade and "editability falls (-" in trade
    assert "Up to a distance of" in verdict.said_of_knee(report.bent(main, names))
    by_rate = report.scored(main, names)
    most = max(names, key=lambda name: by_rate[name]["joint"].value)
    assert "which has most" not in uses.said_of_joint(by_rate, most, {"": main})
    other = min(names, key=lambda name: by_rate[name]["joint"].value)
    assert f"at {most}, which has most, by +" in uses.said_of_joint(by_rate, other, {"": main, " elsewhere": main})
    assert uses.said_of_joint({}, most, {"": main}) == ""


def test_guidance_is_compared_at_the_same_noise():
    rows, _, _ = everything(seeds=(0,))
    rows = rows.assign(condition=rows["run"].str.split(" ", n=1).str[1].str[:-2])
    rows = pd.concat([rows.assign(scale=1.0), rows.assign(scale=4.0)], ignore_index=True)
    lifted = (rows["scale"] == 4) & (rows["condition"] == "rate 10") & (rows["kind"] != "photo")
    rows.loc[lifted, "edit"] = True
    found = report.lifts(rows, ["rate 10", CLASS_WORD], "edit", low=1.0, high=4.0)
    assert found["rate 10"].value == pytest.approx(4 / 12) == found["difference"].value
    assert found[CLASS_WORD].value == 0 and verdict.bought_back(found, "rate 10") == "yes"


def test_the_distance_that_the_scores_follow_is_found():
    parts = []
    for concept in CONCEPTS:
        for k, name in enumerate(RATES.values()):
            for step in (100, 200, 400, 800):
                far = step ** (1 - 0.15 * k) * 10 ** (0.5 * k)
                score = {"kept": 0.1 * np.log(far), "obeyed": -0.1 * np.log(far), "right": 0.5}
                parts.append(drawn(concept, name, **score, far=far, step=step, product=step * 10.0**k))
    rows = pd.concat(parts, ignore_index=True).assign(condition=lambda t: t["run"].str.split(" ", n=1).str[1].str[:-2])
    rows = rows.assign(kept=rows["reconstruction_unseen"], obeyed=rows["editability_share"])
    errors = verdict.proxies(rows)
    means = {name: number.value for name, number in verdict.error_intervals(errors)["kept"].items()}
    assert means["displacement"] < means["learning_rate_steps"]
    assert verdict.explained(verdict.against_product(errors)) == "no" and verdict.best_proxy(errors) == "undecided", (
        "path length and function distance are multiples of the displacement here"
    )


def test_scores_that_follow_the_truth_misrank_nothing(main):
    names = list(RATES.values())
    assert uses.misranking(main, names, "kept", "joint").value == 0
    assert uses.misranking(main.assign(kept=-main["kept"]), names, "kept", "joint").value == 1
    ranks = uses.rankings(main, main, names, names)
    assert verdict.well_ranked(ranks) == "no", "obeyed falls while more edits are right"


def number(low, high):
    return Interval(value=(low + high) / 2, low=low, high=high, n=6, unit="concepts")


def test_verdicts_are_all_or_nothing():
    assert verdict.all_of("yes", "yes") == "yes"
    assert verdict.all_of("yes", "undecided") == "undecided" and verdict.all_of("undecided", "no") == "no"
    gains = {"named": number(0.1, 0.2), "unnamed": number(0.1, 0.2), "outside": number(-0.1, 0.05)}
    assert verdict.reaches(gains, 0.9) == "yes" and verdict.reaches(gains, 0.2) == "undecided", "unseen is not absent"
    assert verdict.reaches(gains | {"outside": number(0.0, 0.3)}, 0.9) == "undecided"
    assert verdict.reaches(gains | {"outside": number(0.2, 0.3)}, 0.2) == "no"
    wide = {
        "decades": number(0, 2),
        "over_line": number(0.1, 0.2),
        "change": number(-1, -0.5),
        "before": number(0.1, 0.2),
    }
    assert verdict.knee(wide) == "undecided" and verdict.knee(wide | {"decades": number(0, 0.5)}) == "yes"
    assert verdict.knee(wide | {"decades": number(0, 0.5), "before": number(-0.2, -0.1)}) == "no", "nothing was gained"
    signs = verdict.agreement({"a": number(1, 2), "b": number(1, 2)}, {"a": number(0.1, 1), "b": number(-2, -1)})
    assert signs == {"a": "yes", "b": "no"}
    summary = verdict.summary({"H1 a": "yes", "H2 b": "no", "H3 c": {"value": None, "reason": "r"}})
    assert summary == "Held: H1. Failed: H2."
    assert verdict.table({"H3 c": {"value": None, "reason": "r"}})["verdict"].tolist() == ["not asked: r"]


def test_rows_are_small_and_say_what_they_said(main):
    small = tables.compact(main)
    assert small["prompt"].dtype == "category" and small["text_cosine"].dtype == "float32"
    assert small["edit"].isna().sum() == main["edit"].isna().sum()
    assert (small["text_cosine"] - main["text_cosine"]).abs().max() <= 0.5001 * 10**-tables.DIGITS
