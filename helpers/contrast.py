"""What the place of two clouds does to their contrast: conformity, contrastive loss, alignment, uniformity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def conformity(points: Tensor) -> Tensor:
    """Mean cosine of each vector with all others, [N] (2411.14517): high for what resembles everything."""
    units = normalize(points, dim=1)
    return ((units * units.sum(0)).sum(1) - 1) / (len(points) - 1)


def nearness_to_mean(points: Tensor, *, of_units: bool = False) -> Tensor:
    """Cosine of each vector with the mean of all, [N], which estimates the conformity (2411.14517).

    With the mean of the unit vectors it is no estimate: c_i = (N ||m|| cos(u_i, m) - 1) / (N - 1), whatever the cloud.
    """
    units = normalize(points, dim=1)
    mean = (units if of_units else points).mean(0)
    return units @ (mean / mean.norm())


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's correlation of two vectors [N]."""
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1])


def moved(points: Tensor, alpha: float) -> Tensor:
    """The cloud with its mean taken alpha times further: -1 centres it, 0 leaves it, 1 doubles its offset.

    The paper writes v - alpha' m (2411.14517); alpha' is -alpha.
    """
    return points + alpha * points.mean(0)


def contrastive_loss(images: Tensor, texts: Tensor, *, scale: float) -> float:
    """Symmetric InfoNCE of N pairs [N, D] in one batch, in nats (Radford et al., 2103.00020, figure 3).

    Args:
        images: row i belongs to row i of the texts.
        texts: as many.
        scale: of the cosines, 1 / temperature.
    """
    logits = scale * normalize(images, dim=1) @ normalize(texts, dim=1).T
    pairs = torch.arange(len(logits))
    return ((cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2).item()


def alignment(images: Tensor, texts: Tensor) -> float:
    """Mean squared distance between the unit vectors of a pair (Wang and Isola, 2005.10242); low is aligned."""
    return (normalize(images, dim=1) - normalize(texts, dim=1)).square().sum(1).mean().item()


def uniformity(points: Tensor, *, t: float = 2.0) -> float:
    """log of the mean of exp(-t distance^2) over pairs of unit vectors (Wang and Isola, 2005.10242); low is uniform."""
    return torch.pdist(normalize(points, dim=1)).square().mul(-t).exp().mean().log().item()


def as_means_move(images: Tensor, texts: Tensor, *, alphas: Sequence[float], scale: float) -> pd.DataFrame:
    """Loss, alignment and mean uniformity of both clouds with their means moved by each alpha; one row an alpha."""
    rows = []
    for alpha in alphas:
        one, other = moved(images, alpha), moved(texts, alpha)
        loss = contrastive_loss(one, other, scale=scale)
        even = (uniformity(one) + uniformity(other)) / 2
        rows.append({"alpha": alpha, "loss": loss, "alignment": alignment(one, other), "uniformity": even})
    return pd.DataFrame(rows)


def best_alpha(images: Tensor, texts: Tensor, *, low: float, high: float, scale: float) -> float:
    """The alpha of least contrastive loss between two bounds, by Brent's method; for a loss with one valley."""

    def loss(alpha: float) -> float:
        return contrastive_loss(moved(images, alpha), moved(texts, alpha), scale=scale)

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 5e-3}).x)
