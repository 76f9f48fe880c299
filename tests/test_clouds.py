"""Two clouds of a CLIP and report 01's numbers, on drawn clouds and on real features."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from helpers import clip_inputs, clip_report, clouds, geometry
from helpers.clouds import Clouds
from helpers.config import InputError
from helpers.files import ROOT
from helpers.plan import generator
from helpers.scorers import load_scorer, untrained_like
from helpers.stats import Interval, jackknife

REAL = ROOT.parent / "shared" / "data" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real features are not beside this checkout")


def two_clouds(rows=120, *, dim=20, shift=8.0, paired=True):
    common = torch.randn(rows, dim, generator=generator(0, "common"), dtype=torch.float64)
    images, texts = (common + 0.3 * torch.randn(rows, dim, generator=generator(k, "own")).double() for k in (1, 2))
    images[:, 4] += shift
    texts[:, 9] += 0.5 * shift
    return Clouds(images=images, texts=texts, paired=paired, scale=20.0)


def test_numbers_have_intervals_over_images():
    found = clouds.measured(two_clouds())
    assert {(x.n, x.unit) for x in found.values()} == {(120, "images")}
    assert all(x.low <= x.value <= x.high for x in found.values())
    assert found["gap_share_top9"].value > 0.95
    assert found["conformity_unit_image"].value == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("rows", "dim"), [(120, 20), (60, 128)])  # also fewer rows than features
def test_the_ratio_to_a_gaussian_covers_one_for_a_gaussian(rows, dim):
    deviations, hits = torch.linspace(1, 0.02, dim, dtype=torch.float64), 0
    for seed in range(60):
        points = torch.randn(rows, dim, generator=generator(seed, "normal"), dtype=torch.float64) * deviations

        def ratio(chosen, points=points):
            return geometry.shell_cv(points[chosen]) / geometry.gaussian_cv(points[chosen])

        found = jackknife(ratio, n=rows, unit="images", groups=clouds.GROUPS)
        hits += found.low <= 1 <= found.high
    assert hits / 60 >= 0.88


def test_what_needs_pairs_or_rows_is_left_out():
    unpaired = clouds.measured(two_clouds(paired=False))
    assert "paired_cosine" not in unpaired and "best_alpha" not in unpaired
    three = clouds.measured(two_clouds(3))
    assert "modality_gap" in three and "participation_ratio_image" not in three
    assert all(np.isfinite([x.value, x.low, x.high]).all() for x in three.values())


def test_separating_features_and_how_many_are_needed():
    both = two_clouds()
    assert list(clouds.separating(both)["feature"][:2]) == [4, 9]
    needs = clouds.separable_with(clouds.separability(both), features=20)
    assert (needs.value, needs.unit) == (1, "images")
    apart = clouds.separability(two_clouds(shift=0.0))
    assert clouds.separable_with(apart, features=20) is None


def test_ends_of_how_many_are_needed_come_from_the_accuracys():
    def row(value, low, high):
        return Interval(value=value, low=low, high=high, n=50, unit="images")

    accuracy = [row(0.9, 0.85, 0.95), row(0.98, 0.95, 0.99), row(0.99, 0.97, 1.0), row(1.0, 0.99, 1.0)]
    table = pd.DataFrame({"features": [1, 2, 4, 8], "accuracy": accuracy})
    found = clouds.separable_with(table, features=64)
    assert (found.value, found.low, found.high) == (4, 2, 8)
    found = clouds.separable_with(table[:3], features=64)
    assert (found.value, found.low, found.high) == (4, 2, 64)  # the lower end of the accuracy is not reached


def test_nulls_say_what_draws_alone_would_give():
    points = two_clouds().images
    null = clouds.under_null(geometry.shell_cv, clouds.nulls(points)["Gaussian"], seed=0, stream="a", draws=30)
    assert null.low < geometry.gaussian_cv(points) < null.high and null.unit == "draws"


def test_the_world_gives_pairs_and_files_what_they_say(tmp_path):
    world = clouds.load_pairs("world", "world", count=6, size=64)
    assert world.paired and world.images.shape == (6, 3, 64, 64) and len(set(world.texts)) == 6
    (tmp_path / "c.txt").write_text("\n".join(f"caption {n}" for n in range(5)), encoding="utf-8")
    mixed = clouds.load_pairs(str(tmp_path / "c.txt"), "world", count=6, size=64)
    assert not mixed.paired and len(mixed.images) == len(mixed.texts) == 5


def test_an_untrained_scorer_has_the_same_shape(tmp_path):
    source = str(tiny.save_scorer(tmp_path / "s"))
    scorer = load_scorer(source, device="cpu")
    twins = [untrained_like(scorer, source, seed=seed) for seed in (2, 2, 3)]
    weights = [twin.model.token_embedding.weight for twin in (*twins, scorer)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3]) and weights[0].shape == weights[3].shape
    assert len({twins[0].fingerprint, twins[2].fingerprint, scorer.fingerprint}) == 3


def saved(tmp_path, name, both):
    np.save(tmp_path / name, torch.stack([both.images, both.texts]).numpy())
    return str(tmp_path / name)


def inputs(features="", untrained=""):
    return clip_inputs.load_clouds(
        None, scorer="", captions="world", images="world", features=features, untrained=untrained, count=9, seed=0
    )


def test_features_stand_alone_or_beside_an_untrained_models(tmp_path):
    one, other = saved(tmp_path, "a.npy", two_clouds()), saved(tmp_path, "b.npy", two_clouds(60))
    both, pairs = inputs(one)
    assert list(both) == ["trained"] and pairs is None
    assert list(inputs(one, one)[0]) == ["trained", "untrained"]
    with pytest.raises(InputError, match="give the same pairs"):
        inputs(one, other)
    with pytest.raises(InputError, match="without features"):
        inputs("", one)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda both: both[:, :2], "there are 2 image features"),
        (lambda both: np.where(both == both[1, 3, 2], np.nan, both), "row 3 of the text features has a value"),
        (
            lambda both: np.concatenate([both, both[..., :1] * 0], axis=2),
            "feature 20 of the image features is the same",
        ),
    ],
)
def test_bad_features_are_refused_with_the_files_name(tmp_path, spoil, words):
    path = tmp_path / "bad.npy"
    np.save(path, spoil(np.load(saved(tmp_path, "good.npy", two_clouds()))))
    with pytest.raises(InputError, match=words) as refused:
        clouds.clouds_in(str(path))
    assert "bad.npy" in str(refused.value)


def test_verdicts_follow_their_intervals():
    both = two_clouds(400)
    numbers, accuracy = {"trained": clouds.measured(both)}, clouds.separability(both)
    found = clip_report.cloud_verdicts(numbers, accuracy)
    assert found["few_features_separate"] == "yes" and found["few_features_hold_the_gap"] == "yes"
    assert found["thinner_than_gaussian"]["image"] == "undecided"
    assert "no untrained model" in found["thinner_than_untrained"]["image"]["reason"]
    twice = {"trained": numbers["trained"], "untrained": numbers["trained"]}
    assert clip_report.cloud_verdicts(twice, accuracy)["thinner_than_untrained"]["text"] == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.1, 0.2, "yes"), (-0.9, 0.5, "undecided"), (0.3, 0.6, "no"), (0.1, 0.4, "undecided")],
)
def test_the_least_loss_is_near_zero_only_within_its_bounds(low, high, verdict):
    measured = clouds.measured(two_clouds(60))
    measured["best_alpha"] = Interval(value=(low + high) / 2, low=low, high=high, n=60, unit="images")
    found = clip_report.cloud_verdicts({"trained": measured}, clouds.separability(two_clouds(60)))
    assert found["means_are_where_loss_is_least"] == verdict


def test_few_features_do_not_separate_where_the_accuracy_is_not_reached():
    rows = [
        Interval(value=0.98, low=low, high=high, n=50, unit="images") for low, high in ((0.9, 0.985), (0.95, 0.995))
    ]
    measured = {"trained": clouds.measured(two_clouds(60))}
    for accuracy, verdict in ((rows[:1], "no"), (rows, "undecided")):
        table = pd.DataFrame({"features": [9, 9][: len(accuracy)], "accuracy": accuracy})
        assert clip_report.cloud_verdicts(measured, table)["few_features_separate"] == verdict


def test_a_loss_that_still_falls_has_no_least():
    end = Interval(value=0.997, low=0.99, high=1.0, n=9, unit="images")
    assert clip_report.alpha_of({"best_alpha": end})["value"] is None
    assert clip_report.least_loss({"untrained": {"best_alpha": end}}) == "untrained: least at alpha beyond 1"


@needs_real
def test_real_features_of_a_trained_and_an_untrained_clip():
    trained, untrained = (
        clouds.measured(clouds.clouds_in(str(REAL / f"coco500_clip_{name}features.npy")))
        for name in ("", "random_init_")
    )
    assert trained["modality_gap"].value == pytest.approx(0.85, abs=0.01)
    assert trained["paired_cosine"].value == pytest.approx(0.31, abs=0.01)
    assert untrained["paired_cosine"].high < 0.05
    assert trained["gap_share_top9"].low > 0.75 > 0.15 > untrained["gap_share_top9"].high
    assert trained["best_alpha"].low < 0 < trained["best_alpha"].high
    assert untrained["best_alpha"].value > 0.5
    assert not clouds.clouds_in(str(REAL / "coco500_clip_features.npy")).lengths_known
