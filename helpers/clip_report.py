"""Report 01 on two clouds: its tables, and what it says of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from helpers import clouds, geometry
from helpers.clouds import SIDES, Clouds
from helpers.results import falls, judged, missing, verdict
from helpers.stats import Interval, difference

FEW = f"fewer than {clouds.ENOUGH} rows"
UNPAIRED = "captions and pictures do not belong together row by row"
FEATURES_AT_MOST, SHARE_AT_LEAST = 9, 0.5
"""Of H1."""
NEAR = 0.25
"""Of H3: how far from 0 the alpha of least loss may be."""


def said_of(trained: Clouds, both: Mapping[str, Clouds]) -> str:
    """What the clouds are."""
    n, dim = trained.images.shape
    beside = " beside an untrained model's" if "untrained" in both else ""
    lengths = "" if trained.lengths_known else " All vectors have length 1: what raw lengths would say is not in them."
    return f"{n} image and {n} text vectors of {dim} features{beside}.{lengths}"


def shuffled_tilt(trained: Clouds, *, seed: int) -> dict[str, Interval]:
    """The tilt that sampling alone gives these features, by side."""
    found = {}
    for side, points in zip(SIDES, (trained.images, trained.texts), strict=True):
        make = functools.partial(geometry.permuted, points)
        found[side] = clouds.under_null(geometry.tilt, make, seed=seed, stream="permuted", draws=10)
    return found


def about_clouds(
    numbers: Mapping[str, Mapping[str, Interval]],
    needs: Mapping[str, Interval | None],
    tilt: Mapping[str, Interval],
    trained: Clouds,
) -> pd.DataFrame:
    """The table of the first section, a column a model; the tilt of shuffled features is the trained model's."""
    names = {"modality_gap": "gap of the unit vectors' means"}
    names |= {"raw_gap": "gap of the raw means"} if trained.lengths_known else {}
    names |= {"paired_cosine": "cosine of a picture and its text", "gap_share_top9": "share of the gap, nine largest"}
    of_one = {"mean_cosine": "mean cosine of pairs", "offset": "offset", "participation_ratio": "PR", "tilt": "tilt"}
    names |= {f"{key}_{side}": f"{name}, {side}s" for key, name in of_one.items() for side in SIDES}
    table = pd.DataFrame({model: _written(found, names) for model, found in numbers.items()})
    for side, shuffled in tilt.items():
        table.loc[f"tilt, {side}s permuted", "trained"] = f"{shuffled:.3f}"
    table.loc["features needed"] = {
        model: "more than tried" if one is None else f"{one.value:.0f} [{one.low:.0f}, {one.high:.0f}]"
        for model, one in needs.items()
    }
    return table.fillna("")


def _written(found: Mapping[str, Interval], names: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{found[key]:.3f}" if key in found else "–" for key, name in names.items()}


def shells(trained: Clouds, *, seed: int) -> dict[str, dict[str, Any]]:
    """CVs of drawn clouds, by side: normal ones with the same covariance, and features permuted independently, which
    spread along more directions; and what a normal distribution of the permuted features' variances gives."""
    if len(trained.images) < clouds.ENOUGH:
        return {side: {} for side in SIDES}
    found = {}
    for side, points in zip(SIDES, (trained.images, trained.texts), strict=True):
        found[side] = {
            f"{name}, drawn": clouds.under_null(geometry.shell_cv, make, seed=seed, stream=name)
            for name, make in clouds.nulls(points).items()
        }
        found[side]["Gaussian of the permuted"] = geometry.normal_radius_cv(points.var(0))
    return found


def about_shells(
    numbers: Mapping[str, Mapping[str, Interval]], shells: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The table of the second section, a row a cloud."""
    rows = {}
    columns = {"CV": "shell_cv", "Gaussian of its covariance": "gaussian_cv", "CV over Gaussian": "shell_over_gaussian"}
    for model, found in numbers.items():
        for side, (kind, prefix) in itertools.product(SIDES, {"": "", ", unit vectors": "unit_"}.items()):
            keys = {name: f"{prefix}{key}_{side}" for name, key in columns.items()}
            if keys["CV"] not in found:
                continue
            row = {name: f"{found[key]:.3f}" if key in found else "–" for name, key in keys.items()}
            drawn = shells[side] if model == "trained" and not prefix else {}
            rows[f"{side}s, {model}{kind}"] = row | {null: f"{x:.3f}" for null, x in drawn.items()}
    return pd.DataFrame(rows).T.fillna("")


def verdict_on_shells(numbers: Mapping[str, Mapping[str, Interval]], trained: Clouds) -> str:
    """What the ratios to a normal distribution say, beside the untrained model's."""
    said = []
    for side in SIDES:
        ratio = numbers["trained"].get(f"shell_over_gaussian_{side}")
        if ratio is None:
            return f"Not asked: {FEW}."
        more = against_untrained(numbers, side)
        beside = "" if more is None else f" (the ratio less the untrained model's: {more:+.2f})"
        said.append(f"{side.capitalize()}s: {ratio:.2f} times a normal distribution's CV, {how_thin(ratio)} it{beside}")
    lengths = ""
    if not trained.lengths_known:
        lengths = (
            " All lengths are 1, so the distance to the mean is a function of the cosine to it, no fact of its own."
        )
    return f"{'; '.join(said)}.{lengths}"


def against_untrained(numbers: Mapping[str, Mapping[str, Interval]], side: str) -> Interval | None:
    """The ratio to a normal distribution less the untrained model's; None without one."""
    key = f"shell_over_gaussian_{side}"
    both = [found.get(key) for found in numbers.values()]
    return difference(*both) if len(both) == 2 and None not in both else None


def thinner(ratio: Interval) -> str:
    """Whether a CV is below a normal distribution's: "yes", "no" or "undecided"."""
    return falls(ratio, 1)


def how_thin(ratio: Interval) -> str:
    """The same in words."""
    return {"yes": "thinner than", "no": "thicker than", "undecided": "not shown to differ from"}[thinner(ratio)]


def about_conformity(numbers: Mapping[str, Mapping[str, Interval]], trained: Clouds) -> pd.DataFrame:
    """The table of the third section, a column a model."""
    rows = {
        "conformity_image": "correlation with cosine to raw mean, images",
        "conformity_text": "correlation with cosine to raw mean, texts",
        "conformity_unit_image": "with cosine to unit mean, images (an identity)",
        "conformity_unit_text": "with cosine to unit mean, texts (an identity)",
        "best_alpha": "alpha of least contrastive loss",
    }
    if not trained.lengths_known:  # then raw and unit means are one, and nothing is left but the identity
        rows = {"best_alpha": rows["best_alpha"]}
    table = {}
    for model, found in numbers.items():
        table[model] = {label: f"{found[key]:.4f}" if key in found else "–" for key, label in rows.items()}
        if "best_alpha" in found and clouds.at_bound(found["best_alpha"]):
            table[model][rows["best_alpha"]] = f"beyond {found['best_alpha'].value:.0f}"
    return pd.DataFrame(table)


def least_loss(numbers: Mapping[str, Mapping[str, Interval]]) -> str:
    """Where the contrastive loss is least, in words."""
    said = []
    for model, found in numbers.items():
        if (alpha := found.get("best_alpha")) is not None:
            where = f"beyond {alpha.value:.0f}" if clouds.at_bound(alpha) else f"{alpha:.2f}"
            said.append(f"{model}: least at alpha {where}")
    return "; ".join(said)


def cloud_results(
    numbers: Mapping[str, Mapping[str, Interval]],
    ranked: Mapping[str, pd.DataFrame],
    needs: Mapping[str, Interval | None],
) -> dict[str, Any]:
    """Results about two clouds, the trained model's by their names, an untrained one's under "untrained"."""
    found = {}
    for model, measured in numbers.items():
        one: dict[str, Any] = {
            "modality_gap": measured["modality_gap"],
            "paired_cosine": measured.get("paired_cosine") or missing(UNPAIRED),
            "gap_share_top9": measured["gap_share_top9"],
            "separating_features": [int(n) for n in ranked[model]["feature"][: geometry.TOP]],
            "separable_with": needs[model]
            or missing(f"no number of features that was tried tells {clouds.SEPARABLE:.0%} of held-out rows apart"),
            "best_alpha": alpha_of(measured),
        }
        for side in SIDES:
            for name in ("mean_cosine", "shell_cv", "offset"):
                one[f"{name}_{side}"] = measured[f"{name}_{side}"]
            for name in ("gaussian_cv", "shell_over_gaussian", "participation_ratio", "tilt"):
                one[f"{name}_{side}"] = measured.get(f"{name}_{side}") or missing(FEW)
        found[model] = one
    return found["trained"] | {"untrained": found.get("untrained") or missing("no features of an untrained model")}


def alpha_of(measured: Mapping[str, Interval]) -> Interval | dict[str, Any]:
    """The alpha of least loss, or why there is none."""
    alpha = measured.get("best_alpha")
    if alpha is None:
        return missing(UNPAIRED)
    return missing(f"the loss still falls at alpha {alpha.value:.0f}") if clouds.at_bound(alpha) else alpha


def cloud_verdicts(numbers: Mapping[str, Mapping[str, Interval]], accuracy: pd.DataFrame) -> dict[str, Any]:
    """H1 to H3, about the trained model."""
    measured, few = numbers["trained"], accuracy[accuracy["features"] <= FEATURES_AT_MOST]["accuracy"]
    reached = any(one.low >= clouds.SEPARABLE for one in few), any(one.high >= clouds.SEPARABLE for one in few)
    share, alpha = measured["gap_share_top9"], measured.get("best_alpha")
    ratios = {side: measured.get(f"shell_over_gaussian_{side}") for side in SIDES}
    beside = {side: against_untrained(numbers, side) for side in SIDES}
    near = alpha is not None and max(abs(alpha.low), abs(alpha.high)) < NEAR
    far = alpha is not None and (alpha.low > NEAR or alpha.high < -NEAR)
    where = "yes" if near else "no" if far else "undecided"
    return {
        "few_features_separate": "yes" if reached[0] else "undecided" if reached[1] else "no",
        "few_features_hold_the_gap": verdict(share, SHARE_AT_LEAST),
        "thinner_than_gaussian": {side: missing(FEW) if one is None else thinner(one) for side, one in ratios.items()},
        "thinner_than_untrained": {
            side: judged(falls, one, "no untrained model, or few rows") for side, one in beside.items()
        },
        "means_are_where_loss_is_least": missing(UNPAIRED) if alpha is None else where,
    }
