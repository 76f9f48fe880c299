"""Geometry of a cloud, against clouds whose shape is known."""

import math

import pytest
import torch

from helpers import geometry
from helpers.config import InputError
from helpers.plan import generator

SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1, 0.1], dtype=torch.float64)
TRUE_PR = (SPECTRUM.sum() ** 2 / SPECTRUM.square().sum()).item()


def turned(size, seed=0):
    """A random rotation [size, size]."""
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator(seed, "turn")))[0]


def ellipsoid(rows, *, spectrum=SPECTRUM, mean=0.0, seed=0, skewed=False):
    """Rows with this covariance spectrum, turned, around a mean; normal, or centred exponential."""
    g = generator(seed, "cloud")
    shape = (rows, len(spectrum))
    if skewed:
        noise = -torch.rand(shape, generator=g, dtype=torch.float64).log() - 1
    else:
        noise = torch.randn(shape, generator=g, dtype=torch.float64)
    return noise * spectrum.sqrt() @ turned(len(spectrum)) + mean


@pytest.mark.parametrize("rows", [6, 40])  # fewer rows than the 10 features, and more
@pytest.mark.parametrize("skewed", [False, True])
def test_traces_are_unbiased(rows, skewed):
    found = torch.tensor([geometry.traces(ellipsoid(rows, seed=seed, skewed=skewed)) for seed in range(3000)])
    true = torch.tensor([SPECTRUM.square().sum(), SPECTRUM.sum() ** 2])
    error = (found.mean(0) - true).abs() / (found.std(0) / len(found) ** 0.5)
    assert (error < 3.5).all()
    naive = torch.stack([geometry.spectrum(ellipsoid(rows, seed=seed)).square().sum() for seed in range(300)])
    assert naive.mean() > true[0]


@pytest.mark.parametrize("rows", [30, 3000])  # of 60 features
def test_participation_ratio_in_both_regimes(rows):
    flat = torch.ones(60, dtype=torch.float64)
    found = torch.tensor([geometry.participation_ratio(ellipsoid(rows, spectrum=flat, seed=s)) for s in range(20)])
    assert abs(found.mean() - 60) < 3
    uneven = torch.cat([flat[:3] * 20, flat[3:]])
    true = (uneven.sum() ** 2 / uneven.square().sum()).item()
    found = torch.tensor([geometry.participation_ratio(ellipsoid(rows, spectrum=uneven, seed=s)) for s in range(40)])
    assert abs(found.mean() / true - 1) < 0.15


def test_radius_of_a_normal_distribution_in_closed_form():
    for dim in (1, 2, 3, 50):
        mean = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
        chi = math.sqrt(dim - mean**2) / mean
        assert geometry.normal_radius_cv(torch.full((dim,), 7.0)) == pytest.approx(chi, rel=1e-6)
    many = torch.rand(500, generator=generator(0, "many"), dtype=torch.float64)
    ratio = (many.sum() ** 2 / many.square().sum()).item()
    assert geometry.normal_radius_cv(many) == pytest.approx((2 * ratio) ** -0.5, rel=0.01)


@pytest.mark.parametrize("rows", [40, 2000])
def test_gaussian_shell_is_that_of_the_true_covariance(rows):
    """Also with fewer rows than features, where the sample covariance itself would say too much."""
    spectrum = torch.linspace(1, 0.05, 80, dtype=torch.float64) ** 2
    true = geometry.normal_radius_cv(spectrum)
    clouds = [ellipsoid(rows, spectrum=spectrum, seed=seed) for seed in range(12)]
    assert sum(geometry.gaussian_cv(cloud) for cloud in clouds) / 12 == pytest.approx(true, rel=0.05)
    if rows < 80:
        naive = sum(geometry.normal_radius_cv(geometry.spectrum(cloud)) for cloud in clouds) / 12
        assert naive > 1.1 * true


def test_a_shell_is_thinner_than_its_gaussian_and_a_gaussian_is_not():
    normal = ellipsoid(4000)
    assert geometry.shell_cv(normal) == pytest.approx(geometry.gaussian_cv(normal), rel=0.05)
    around = normal / normal.norm(dim=1, keepdim=True)
    sphere = torch.cat([around, -around]) * 3 + 5
    assert geometry.shell_cv(sphere) < 1e-12 < geometry.gaussian_cv(sphere)


def test_shrinking_keeps_the_trace_and_mends_the_square():
    cloud = ellipsoid(7)
    shrunk, sample = geometry.shrunk_spectrum(cloud), geometry.spectrum(cloud)
    assert shrunk.sum() == pytest.approx(sample.sum()) and len(shrunk) == 10 and len(sample) == 6
    assert shrunk.square().sum() == pytest.approx(geometry.traces(cloud)[0], rel=1e-9)
    full = geometry.shrunk_covariance(cloud)
    assert full.trace() == pytest.approx(sample.sum()) and torch.linalg.eigvalsh(full).min() > 0


def test_nulls_keep_what_they_should():
    cloud = ellipsoid(300, mean=2.0)
    shuffled = geometry.permuted(cloud, generator(0, "a"))
    assert torch.equal(shuffled.sort(0).values, cloud.sort(0).values) and not torch.equal(shuffled, cloud)
    assert torch.equal(shuffled, geometry.permuted(cloud, generator(0, "a")))
    normal = geometry.normal(geometry.shrunk_spectrum(ellipsoid(3000)), generator(0, "b"), rows=3000)
    assert geometry.participation_ratio(normal) == pytest.approx(TRUE_PR, rel=0.1)


def test_cone_gap_and_offset_of_known_clouds():
    cloud = ellipsoid(50, mean=1.0)
    units = cloud / cloud.norm(dim=1, keepdim=True)
    pairs = (units @ units.T)[~torch.eye(50, dtype=torch.bool)]
    assert geometry.mean_cosine(cloud) == pytest.approx(pairs.mean().item())
    east, north = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 9.0]])
    assert geometry.modality_gap(east.double(), north.double()) == pytest.approx(math.sqrt(2))
    assert geometry.paired_cosine(cloud, 4 * cloud) == pytest.approx(1)
    wide = ellipsoid(20000, mean=3.0)
    assert geometry.offset(wide) == pytest.approx(3 * 10**0.5 / SPECTRUM.sum().item() ** 0.5, rel=0.03)


def test_separation_and_gap_of_shifted_features():
    g = generator(0, "features")
    images, texts = (torch.randn(4000, 40, generator=g, dtype=torch.float64) for _ in range(2))
    shift = torch.zeros(40, dtype=torch.float64)
    shift[[7, 3, 30]] = torch.tensor([6.0, 4.0, 2.0], dtype=torch.float64)
    found = geometry.separation(images + shift, texts)
    assert found.argsort(descending=True)[:3].tolist() == [7, 3, 30]
    assert found[7] == pytest.approx(6 / 2**0.5, rel=0.05)
    assert geometry.gap_share(images + shift, texts, top=1) == pytest.approx(36 / 56, rel=0.05)
    assert geometry.gap_share(images + shift, texts, top=40) == pytest.approx(1)


def test_separability_is_of_held_out_rows():
    g = generator(1, "features")
    images, texts = (torch.randn(60, 400, generator=g, dtype=torch.float64) for _ in range(2))
    chance = geometry.separated(images, texts, counts=[1, 5, 20]).double().mean((1, 2))
    assert ((chance - 0.5).abs() < 0.17).all()  # features chosen on all rows would say far more
    images[:, 11] += 12
    right = geometry.separated(images, texts, counts=[1, 2])
    assert right.shape == (2, 2, 60) and right[0].all()


def test_tilt_of_equal_correlations():
    rho, dim = 0.4, 8
    common = torch.randn(60000, 1, generator=generator(0, "common"), dtype=torch.float64) * rho**0.5
    own = torch.randn(60000, dim, generator=generator(0, "own"), dtype=torch.float64) * (1 - rho) ** 0.5
    assert geometry.tilt(common + own) == pytest.approx((dim - 1) * rho, rel=0.05)
    assert geometry.tilt(own) < 0.1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cloud: cloud[:2], "there are 2 image features"),
        (lambda cloud: cloud.where(cloud != cloud[4, 1], float("nan")), "row 4 of the image features"),
        (lambda cloud: cloud.index_fill(1, torch.tensor([3]), 1.5), "feature 3 of the image features is the same"),
        (lambda cloud: cloud[0], "have shape (10,)"),
        (lambda cloud: cloud.long(), "give a row of real numbers"),
    ],
)
def test_bad_clouds_are_refused_in_a_sentence(spoil, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        geometry.check_cloud(spoil(ellipsoid(20)), name="image features")
