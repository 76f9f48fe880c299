"""Result files follow the house's contract."""

import json

import pytest

from helpers import results
from helpers.config import SamplingConfig
from helpers.stats import Interval


def interval(low, high):
    return Interval(value=(low + high) / 2, low=low, high=high, n=8, unit="images")


def test_results_are_entries(tmp_path):
    found = {
        "score": interval(0.1, 0.3),
        "by_condition": {"inversion": interval(0.0, 0.2)},
        "verdict": "yes",
        "order": ["pose", "style"],
        "unseen": results.missing("no such pictures"),
    }
    facts = results.provenance(profile="smoke", sampling=SamplingConfig())
    results.write_results(tmp_path / "r.json", found, provenance=facts)
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["results"]["score"] == {"value": 0.2, "low": 0.1, "high": 0.3, "n": 8, "unit": "images"}
    assert content["results"]["by_condition"]["inversion"]["high"] == 0.2
    assert content["results"]["unseen"] == {"value": None, "reason": "no such pictures"}
    assert content["provenance"]["sampling"]["steps"] == 20
    assert {"commit", "dirty", "packages", "threads"} <= content["provenance"].keys()


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError):
        results.write_results(tmp_path / "r.json", {"score": interval(0.1, float("nan"))}, provenance={})
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(("low", "high", "said"), [(0.1, 0.2, "yes"), (-0.2, -0.1, "no"), (-0.1, 0.1, "undecided")])
def test_verdicts(low, high, said):
    assert results.verdict(interval(low, high)) == said


def test_a_verdict_may_look_below_or_have_nothing_to_look_at():
    assert [results.falls(interval(*ends)) for ends in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1))] == [
        "no",
        "yes",
        "undecided",
    ]
    assert results.judged(results.falls, interval(-0.2, -0.1), "why") == "yes"
    assert results.judged(results.verdict, None, "why") == {"value": None, "reason": "why"}
