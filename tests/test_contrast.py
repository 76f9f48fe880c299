"""Conformity, loss, alignment and uniformity, against their definitions."""

import pytest
import torch

from helpers import contrast
from helpers.plan import generator


def cloud(rows, dim=12, *, mean=0.7, seed=0):
    return torch.randn(rows, dim, generator=generator(seed, "cloud"), dtype=torch.float64) + mean


def test_conformity_is_the_mean_cosine_with_all_others():
    points = cloud(30)
    units = points / points.norm(dim=1, keepdim=True)
    cosines = units @ units.T
    expected = (cosines.sum(1) - 1) / 29
    assert torch.allclose(contrast.conformity(points), expected)


def test_nearness_to_the_mean_of_units_is_an_identity():
    points = cloud(40) * torch.rand(40, 1, generator=generator(0, "lengths"), dtype=torch.float64) * 9
    units = points / points.norm(dim=1, keepdim=True)
    near = contrast.nearness_to_mean(points, of_units=True)
    assert torch.allclose(contrast.conformity(points), (40 * units.mean(0).norm() * near - 1) / 39)
    assert contrast.correlation(contrast.conformity(points), near) == pytest.approx(1, abs=1e-12)
    raw = contrast.correlation(contrast.conformity(points), contrast.nearness_to_mean(points))
    assert 0.5 < raw < 1 - 1e-6


def test_loss_alignment_and_uniformity():
    images, texts = cloud(8), cloud(8, seed=1)
    ones, others = (x / x.norm(dim=1, keepdim=True) for x in (images, texts))
    logits = 5 * ones @ others.T
    by_hand = -(logits.diag() - logits.logsumexp(1)).mean() / 2 - (logits.diag() - logits.logsumexp(0)).mean() / 2
    assert contrast.contrastive_loss(images, texts, scale=5) == pytest.approx(by_hand.item())
    assert contrast.alignment(images, texts) == pytest.approx((2 - 2 * (ones * others).sum(1)).mean().item())
    distances = (2 - 2 * ones @ ones.T)[~torch.eye(8, dtype=torch.bool)]
    assert contrast.uniformity(images) == pytest.approx((-2 * distances).exp().mean().log().item())


def test_means_are_moved_by_their_own_share():
    points = cloud(20)
    assert contrast.moved(points, -1).mean(0).abs().max() < 1e-12
    assert torch.equal(contrast.moved(points, 0), points)
    assert torch.allclose(contrast.moved(points, 1).mean(0), 2 * points.mean(0))


def test_best_alpha_is_the_least_of_a_fine_grid():
    """Pairs around the same directions, pushed off by a mean that only disturbs: centring them is best."""
    base = cloud(60, mean=0.0)
    images, texts = base + 3, base + 0.1 * cloud(60, mean=0.0, seed=2) - 3
    found = contrast.best_alpha(images, texts, low=-1.5, high=1.5, scale=20)
    fine = torch.linspace(-1.5, 1.5, 3001).tolist()
    losses = [contrast.contrastive_loss(contrast.moved(images, a), contrast.moved(texts, a), scale=20) for a in fine]
    assert found == pytest.approx(fine[losses.index(min(losses))], abs=0.02)
    assert found == pytest.approx(-1, abs=0.15)
    assert contrast.best_alpha(images, texts, low=0, high=1, scale=20) < 0.01  # at a bound


def test_curves_have_a_row_an_alpha():
    curves = contrast.as_means_move(cloud(10), cloud(10, seed=1), alphas=[-1, 0, 1], scale=10)
    assert list(curves["alpha"]) == [-1, 0, 1] and curves.notna().all().all()
