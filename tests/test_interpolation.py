"""Paths between states: their ends, their shell, and geodesics known in closed form."""

import math

import pytest
import torch
from scipy.special import ellipeinc

from helpers import interpolation as ways
from helpers.interpolation import Frame
from helpers.plan import generator

DIM = 16


def frame(*, gamma=None, beta=None, mean=None, covariance=None, dim=DIM):
    zeros = torch.zeros(dim, dtype=torch.float64)
    return Frame(
        gamma=zeros + 1 if gamma is None else gamma,
        beta=zeros if beta is None else beta,
        mean=zeros if mean is None else mean,
        covariance=torch.eye(dim, dtype=torch.float64) if covariance is None else covariance,
    )


def uneven(dim=DIM):
    """A frame in which nothing is trivial."""
    g = generator(0, "frame")
    factor = torch.randn(dim, dim, generator=g, dtype=torch.float64)
    gamma, beta, mean = (torch.randn(dim, generator=g, dtype=torch.float64) for _ in range(3))
    return frame(gamma=gamma.exp(), beta=beta, mean=mean, covariance=factor @ factor.T + 0.1 * torch.eye(dim), dim=dim)


def ends(where, count=5, dim=DIM):
    drawn = torch.randn(2, count, dim, generator=generator(0, "ends"), dtype=torch.float64)
    return ways.on_shell(drawn, where)


TIMES = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("name", list(ways.paths(frame())))
def test_every_path_goes_from_one_to_the_other(name):
    where = uneven()
    a, b = ends(where)
    points = ways.paths(where)[name](a, b, TIMES)
    assert points.shape == (4, 5, DIM)
    assert torch.allclose(points[0], a) and torch.allclose(points[-1], b)
    same = ways.paths(where)[name](a, a, TIMES)
    assert torch.allclose(same, a.expand_as(same), atol=1e-6)


def test_only_the_exact_path_stays_on_the_shell():
    where = uneven()
    a, b = ends(where)
    off = {name: ways.off_shell(path(a, b, TIMES), where).max() for name, path in ways.paths(where).items()}
    assert off.pop(ways.EXACT) < 1e-12
    assert min(off.values()) > 1e-3
    exact = ways.exact_path(a, b, TIMES, gamma=where.gamma, beta=where.beta)
    z = (exact - where.beta) / where.gamma
    assert torch.allclose(z.norm(dim=-1), torch.tensor(DIM**0.5, dtype=torch.float64)) and z.sum(-1).abs().max() < 1e-9


def test_slerp_turns_at_an_even_rate_and_bends_as_by_hand():
    a, b = ends(frame())
    whole = torch.cosine_similarity(a, b, dim=-1).acos()
    quarter = torch.cosine_similarity(a, ways.slerp(a, b, TIMES)[1], dim=-1).acos()
    assert torch.allclose(quarter, whole / 4)
    dip = ways.off_shell(ways.linear(a, b, TIMES)[2], frame())
    assert torch.allclose(dip, 1 - (whole / 2).cos())


def test_paths_coincide_where_they_should():
    where = uneven()
    a, b = ends(where)
    half = ways.vslerp(a, b, TIMES, mean=where.mean, alpha=1.0)
    assert torch.equal(half, ways.slerp_about(a, b, TIMES, where.mean))
    assert torch.equal(ways.vslerp(a, b, TIMES, mean=where.mean, alpha=0.0), ways.slerp(a, b, TIMES))
    plain = frame()
    everything = {name: path(a, b, TIMES) for name, path in ways.paths(plain).items() if name != "linear"}
    assert all(torch.allclose(points, everything[ways.EXACT]) for points in everything.values())


def test_parallel_states_are_joined_straight_and_opposite_ones_refused():
    a = torch.ones(2, DIM, dtype=torch.float64)
    assert torch.allclose(ways.slerp(a, 3 * a, TIMES)[2], 2 * a)
    with pytest.raises(ValueError, match="opposite"):
        ways.slerp(a, -a, TIMES)
    with pytest.raises(ValueError, match="scale of 0"):
        ways.exact_path(a, 2 * a, TIMES, gamma=torch.zeros(DIM), beta=torch.zeros(DIM))


def test_geodesic_of_a_sphere_is_a_great_circle():
    where = frame()
    a, b = ends(where)
    found = ways.geodesic(a, b, gamma=where.gamma, beta=where.beta)
    angle = torch.cosine_similarity(a, b, dim=-1).acos()
    assert torch.allclose(ways.path_length(found), angle * DIM**0.5, rtol=5e-4)
    assert torch.allclose(found, ways.slerp(a, b, torch.linspace(0, 1, 33)), atol=1e-3)


def test_geodesic_of_three_features_is_the_arc_of_an_ellipse():
    """With three features the shell is a curve: an ellipse, whose arcs are elliptic integrals."""
    gamma = torch.tensor([1.0, 1.0, 2.5], dtype=torch.float64)
    where = frame(gamma=gamma, beta=torch.tensor([4.0, -1.0, 0.5], dtype=torch.float64), dim=3)
    one = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64) / 2**0.5
    other = torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64) / 6**0.5
    wide, high = ((3**0.5 * gamma * axis).norm() for axis in (one, other))  # half axes, at right angles
    start, end = 0.3, 2.0
    a, b = (where.beta + gamma * 3**0.5 * (math.cos(t) * one + math.sin(t) * other) for t in (start, end))
    found = ways.path_length(ways.geodesic(a, b, gamma=gamma, beta=where.beta, segments=64))
    m = (1 - (wide / high) ** 2).item()  # speed along (wide cos t, high sin t) is high sqrt(1 - m sin^2 t)
    arc = high * (ellipeinc(end, m) - ellipeinc(start, m))
    assert found.item() == pytest.approx(arc.item(), rel=2e-3)


def test_geodesic_is_no_longer_than_any_path_on_the_shell():
    where = uneven()
    a, b = ends(where)
    found = ways.compared(a, b, where)
    assert (found[ways.EXACT]["length"] >= 1 - 1e-6).all() and (found["linear"]["length"] < 1).all()
    points = ways.geodesic(a, b, gamma=where.gamma, beta=where.beta)
    assert ways.off_shell(points, where).max() < 1e-12
    steps = points.diff(dim=0).norm(dim=-1)
    assert (steps.amax(0) / steps.amin(0) < 1.05).all()


def test_mahalanobis_of_members_is_about_one_and_half_way_is_nearer():
    where = uneven()
    factor = torch.linalg.cholesky(where.covariance)
    noise = torch.randn(2, 400, DIM, generator=generator(1, "members"), dtype=torch.float64)
    one, other = where.mean + noise @ factor.T
    assert ways.mahalanobis(one, where).mean() == pytest.approx(1, abs=0.05)
    middle = ways.mahalanobis(ways.linear(one, other, TIMES)[2], where)
    assert middle.mean() == pytest.approx(0.5**0.5, abs=0.05)
    whitened = ways.whitened_slerp(one, other, TIMES, mean=where.mean, covariance=where.covariance)
    assert ways.mahalanobis(whitened[2], where).mean() == pytest.approx(1, abs=0.05)
