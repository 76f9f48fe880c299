"""Report 01 on two clouds: its tables, and what it says of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from helpers import clouds, geometry
from helpers.clouds import SIDES, Clouds
from helpers.results import missing
from helpers.stats import Interval

FEW = f"fewer than {clouds.ENOUGH} rows"
UNPAIRED = "captions and pictures do not belong together row by row"
FEATURES_AT_MOST, SHARE_AT_LEAST = 9, 0.5
"""Of H1."""


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
    numbers: Mapping[str, Mapping[str, Interval]], needs: Mapping[str, Interval | None], tilt: Mapping[str, Interval]
) -> pd.DataFrame:
    """The table of the first section, a column a model; the tilt of shuffled features is the trained model's."""
    names = ["modality_gap", "raw_gap", "paired_cosine", "gap_share_top9"]
    names += [f"{one}_{side}" for one in ("mean_cosine", "offset", "participation_ratio", "tilt") for side in SIDES]
    table = pd.DataFrame({model: _written(found, names) for model, found in numbers.items()})
    for side, shuffled in tilt.items():
        table.loc[f"tilt {side}, permuted", "trained"] = f"{shuffled:.3f}"
    table.loc["features to separate"] = {
        model: "more than tried" if one is None else f"{one.value:.0f} [{one.low:.0f}, {one.high:.0f}]"
        for model, one in needs.items()
    }
    return table.fillna("")


def _written(found: Mapping[str, Interval], names: list[str]) -> dict[str, str]:
    return {name.replace("_", " "): f"{found[name]:.3f}" if name in found else "–" for name in names}


def shells(trained: Clouds, *, seed: int) -> dict[str, dict[str, Interval]]:
    """CV of clouds that are as this one but for its shell: a normal distribution's, and permuted features'."""
    if len(trained.images) < clouds.ENOUGH:
        return {side: {} for side in SIDES}
    found = {}
    for side, points in zip(SIDES, (trained.images, trained.texts), strict=True):
        found[side] = {
            name: clouds.under_null(geometry.shell_cv, make, seed=seed, stream=name)
            for name, make in clouds.nulls(points).items()
        }
    return found


def about_shells(
    numbers: Mapping[str, Mapping[str, Interval]], shells: Mapping[str, Mapping[str, Interval]]
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
            rows[f"{side}s, {model}{kind}"] = row | {f"{null}, drawn": f"{x:.3f}" for null, x in drawn.items()}
    return pd.DataFrame(rows).T.fillna("")


def verdict_on_shells(measured: Mapping[str, Interval]) -> str:
    """What the ratios to a normal distribution say."""
    said = []
    for side in SIDES:
        ratio = measured.get(f"shell_over_gaussian_{side}")
        if ratio is None:
            return f"Not asked: {FEW}."
        how = {"yes": "thinner than", "no": "thicker than", "undecided": "as thin as"}[thinner(ratio)]
        said.append(f"{side}s {ratio:.2f} times, {how} their covariance explains")
    return f"The shells against those of normal distributions: {'; '.join(said)}."


def thinner(ratio: Interval) -> str:
    """Whether a CV is below a normal distribution's: "yes", "no" or "undecided"."""
    return "yes" if ratio.high < 1 else "no" if ratio.low > 1 else "undecided"


def about_conformity(numbers: Mapping[str, Mapping[str, Interval]], trained: Clouds) -> pd.DataFrame:
    """The table of the third section, a column a model."""
    rows = {
        "conformity_image": "correlation with cosine to raw mean, images",
        "conformity_text": "correlation with cosine to raw mean, texts",
        "conformity_unit_image": "with cosine to unit mean, images (an identity)",
        "conformity_unit_text": "with cosine to unit mean, texts (an identity)",
        "best_alpha": "alpha of least contrastive loss",
    }
    table = {}
    for model, found in numbers.items():
        table[model] = {label: f"{found[key]:.4f}" if key in found else "–" for key, label in rows.items()}
        if not trained.lengths_known:
            table[model] |= {rows[f"conformity_{side}"]: "an identity: lengths are 1" for side in SIDES}
    return pd.DataFrame(table)


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
            "best_alpha": measured.get("best_alpha") or missing(UNPAIRED),
        }
        for side in SIDES:
            for name in ("mean_cosine", "shell_cv", "offset"):
                one[f"{name}_{side}"] = measured[f"{name}_{side}"]
            for name in ("gaussian_cv", "shell_over_gaussian", "participation_ratio", "tilt"):
                one[f"{name}_{side}"] = measured.get(f"{name}_{side}") or missing(FEW)
        found[model] = one
    return found["trained"] | {"untrained": found.get("untrained") or missing("no features of an untrained model")}


def cloud_verdicts(measured: Mapping[str, Interval], needs: Interval | None) -> dict[str, Any]:
    """H1 to H3."""
    share = measured["gap_share_top9"]
    few = (
        "no"
        if needs is None or needs.low > FEATURES_AT_MOST
        else "yes"
        if needs.high <= FEATURES_AT_MOST
        else "undecided"
    )
    held = "yes" if share.low > SHARE_AT_LEAST else "no" if share.high < SHARE_AT_LEAST else "undecided"
    ratios = {side: measured.get(f"shell_over_gaussian_{side}") for side in SIDES}
    alpha = measured.get("best_alpha")
    least = missing(UNPAIRED) if alpha is None else "yes" if alpha.low <= 0 <= alpha.high else "no"
    return {
        "few_features_separate": few,
        "few_features_hold_the_gap": held,
        "thinner_than_gaussian": {side: missing(FEW) if one is None else thinner(one) for side, one in ratios.items()},
        "means_are_where_loss_is_least": least,
    }
