"""Report 01 through papermill on features alone, and what its tables and lines say."""

import json

import numpy as np
import pytest

from helpers import clip_paths, clip_states, publish
from helpers.files import ROOT
from helpers.results import missing
from helpers.stats import Interval

REAL = ROOT.parent / "shared" / "data" / "real"
OF_CLOUDS = """modality_gap mean_cosine_image mean_cosine_text paired_cosine separating_features gap_share_top9
separable_with shell_cv_image shell_cv_text gaussian_cv_image gaussian_cv_text participation_ratio_image
participation_ratio_text"""
OF_A_MODEL = """index5_shell_cv index5_shell_cv_random_init index5_shell_cv_pre_norm identity_flow
recommended_interpolation"""


def of(value, low=None, high=None):
    return Interval(value=value, low=value if low is None else low, high=value if high is None else high, n=9, unit="x")


def features(tmp_path, rows=40):
    g = np.random.default_rng(0)
    images = g.normal(size=(rows, 16))
    texts = images + 0.5 * g.normal(size=(rows, 16))
    images[:, 3] += 9
    path = tmp_path / "<b>&features.npy"
    np.save(path, np.stack([images, texts]))
    return path


def test_features_alone_make_a_report_with_every_key(tmp_path):
    path = features(tmp_path)
    words = ["01_clip_geometry", "--profile", "smoke", "-p", "features", str(path), "-p", "out", str(tmp_path / "out")]
    assert publish.main(words) == 0
    found = json.loads((tmp_path / "out" / "01_clip_geometry.json").read_text(encoding="utf-8"))
    results = found["results"]
    assert {*OF_CLOUDS.split(), *OF_A_MODEL.split()} <= set(results)
    assert results["separating_features"][0] == 3 and len(results["separating_features"]) == 9
    assert results["separable_with"]["value"] == 1 and results["modality_gap"]["unit"] == "images"
    for key in OF_A_MODEL.split():
        assert results[key]["value"] is None and "no model" in results[key]["reason"]
    assert results["untrained"]["value"] is None
    page = (tmp_path / "out" / "01_clip_geometry.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page and "<b>&features" not in page


def test_bad_features_stop_the_report_with_one_sentence(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.ones((2, 2, 4)))
    out = tmp_path / "out"
    words = [
        "01_clip_geometry",
        "--profile",
        "smoke",
        "-p",
        "features",
        str(tmp_path / "few.npy"),
        "-p",
        "out",
        str(out),
    ]
    assert publish.main(words) == 1
    assert "InputError: there are 2 image features: a shape takes 3 or more of them" in capsys.readouterr().out
    assert (out / "01_clip_geometry.failed.ipynb").is_file()


@pytest.mark.parametrize("name", ["features", "untrained", "captions", "images"])
def test_a_file_that_is_not_there_is_refused_before_anything_runs(name, caplog):
    assert publish.main(["01_clip_geometry", "-p", name, "nowhere.npy"]) == 2
    assert f"Parameter {name} is 'nowhere.npy', and there is nothing of that name" in caplog.text


def found_by(flow):
    line = {"names": {"noise": {"linear": of(0.04, 0.01, 0.07)}}, "tokens": {"noise": {}}}
    detour = {"names": {"noise": {"linear": of(-0.1, -0.2, -0.05)}}, "tokens": {"noise": {}}}
    return {
        "modality_gap": of(0.85),
        "gap_share_top9": of(0.8),
        "separable_with": missing("none"),
        "shell_over_gaussian_image": of(1.0, 0.9, 1.1),
        "shell_over_gaussian_text": of(1.2, 1.1, 1.3),
        "index5_shell_ratio": of(1.05, 0.9, 1.2),
        "shell_same_untrained": "yes",
        "shells": {"template, index 5: trained, after the norm": {"over_gaussian": of(1.02, 0.86, 1.17)}},
        "identity_flow": flow,
        "identity_positions": "index 5 and padding",
        "paths": {"linear": {"off_shell": of(0.149)}},
        "unevenness_above_exact_path": line | {"all": line["names"]},
        "detour_above_exact_path": detour,
        "recommended_interpolation": "exact path",
        "few_features_separate": "no",
        "few_features_hold_the_gap": "yes",
        "thinner_than_gaussian": {"image": "undecided", "text": "no"},
        "thinner_than_untrained": {"image": missing("none"), "text": missing("none")},
        "untrained": missing("none"),
        "best_alpha": missing("unpaired"),
        "means_are_where_loss_is_least": missing("unpaired"),
        "identity_through_index_less_half": of(-0.3, -0.4, -0.2),
        "identity_flows_through_index": "no",
        "exact_path_is_smoother": "yes",
    }


FLOW = {"index 5": of(0.06), "index 5 and padding": of(0.74), "all": of(0.78)}


def test_the_answer_has_three_lines_with_numbers():
    lines = clip_paths.answer(found_by(FLOW), 5)
    assert len(lines) == 3
    assert "not shown to differ from what their covariance explains (1.00 [0.90, 1.10] times)" in lines[0]
    assert "the texts' thicker than their covariance explains" in lines[0]
    assert "the CV is 1.02 [0.86, 1.17] times a normal distribution's" in lines[1]
    assert "in 0.06 [0.06, 0.06] of pictures" in lines[1] and "it takes index 5 and padding (0.74" in lines[1]
    assert "by the exact path" in lines[2] and "class word" not in lines[2]
    assert "between names less even (+0.04 [+0.01, +0.07]) and more direct (-0.10 [-0.20, -0.05])" in lines[2]
    assert "draws its character" not in clip_paths.answer(found_by(missing("no reader")), 5)[1]
    assert "give a model" in clip_paths.answer(found_by(missing("no model")), None)[2]


def test_every_hypothesis_is_judged():
    table = clip_paths.judgements(found_by(FLOW), 5).set_index("asked")
    assert list(dict.fromkeys(table[""])) == ["H1", "H2", "H3", "H4", "H5", "H6"]
    assert table.loc["nine features tell 99% apart", "holds"] == "no"
    assert table.loc["untrained over trained CV, 0.8 to 1.25", "measured"] == "1.05 [0.90, 1.20]"
    assert table.loc["alpha of least loss within 0.25 of 0", "holds"] == "not asked"
    assert table.loc["line's noise less even than the exact path's", "measured"] == "0.04 [0.01, 0.07]"


def test_what_was_read_and_what_the_noise_says_stand_together():
    names = ["index 5", "all after the name", "end of text", "all"]
    read = {
        "first": {name: of(n / 10) for n, name in enumerate(names)},
        "second": {name: of(1 - n / 10) for n, name in enumerate(names)},
    }
    through = {"index 5": of(0.66), "all after the name": of(0.36)}
    said = clip_states.verdict_on_flow(read, through, 5)
    assert "at index 5 alone 0.00 and 1.00" in said and "0.66 [0.66, 0.66] goes through index 5 alone" in said
    assert clip_states.verdict_on_flow(None, through, 5).startswith("Of the change")
    assert clip_states.flow_result(None)["value"] is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.9, 1.2, "yes"), (0.5, 0.7, "no"), (1.3, 1.5, "no"), (0.7, 1.0, "undecided")]
)
def test_shells_are_the_same_within_both_bounds(low, high, verdict):
    assert clip_states.same(of(1, low, high)) == verdict


@pytest.mark.skipif(not REAL.is_dir(), reason="the real features are not beside this checkout")
def test_real_features_of_a_trained_and_an_untrained_clip_make_a_report(tmp_path):
    given = {
        "features": REAL / "coco500_clip_features.npy",
        "untrained": REAL / "coco500_clip_random_init_features.npy",
    }
    words = [word for name, path in given.items() for word in ("-p", name, str(path))]
    assert publish.main(["01_clip_geometry", *words, "-p", "out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "01_clip_geometry.json").read_text(encoding="utf-8"))["results"]
    assert results["gap_share_top9"]["low"] > 0.75 > results["untrained"]["gap_share_top9"]["high"]
    assert results["untrained"]["best_alpha"]["value"] is None
    assert results["thinner_than_gaussian"] == {"image": "undecided", "text": "no"}
