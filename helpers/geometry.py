"""The shape of a cloud of vectors: where its centre is, along how many directions it spreads, how thin its shell is.

After "The Double-Ellipsoid Geometry of CLIP" (Levi and Gilboa, 2411.14517): embeddings of images and of texts lie on
two thin ellipsoids, apart from each other and from the origin. What a thin shell is worth is told by what the same
spread gives without any shell: `gaussian_cv`, `permuted`, `normal`.

A cloud is a tensor [N, D], one vector a row; all computations are in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from helpers.config import InputError

TOP = 9
"""Features that set images and texts of ViT-B/32 apart (2411.14517)."""


def check_cloud(points: Tensor, *, name: str) -> Tensor:
    """The cloud in float64.

    Raises:
        InputError: it is no matrix, has fewer than 3 rows, a value that is not finite, or a feature that never varies.
    """
    if points.ndim != 2 or not points.is_floating_point():
        raise InputError(f"{name} have shape {tuple(points.shape)}: give a row of real numbers for each of them.")
    if points.shape[1] < 2:
        raise InputError(f"the {name} have {points.shape[1]} feature: a shape takes 2 or more.")
    if len(points) < 3:
        raise InputError(f"there are {len(points)} {name}: a shape takes 3 or more of them.")
    if not (finite := points.isfinite().all(1)).all():
        row = int((~finite).nonzero()[0])
        raise InputError(f"row {row} of the {name} has a value that is not finite: take it away or compute it again.")
    if (empty := ~points.any(1)).any():
        row = int(empty.nonzero()[0])
        raise InputError(f"row {row} of the {name} is 0 throughout: it has no direction, take it away.")
    if (constant := points.amax(0) == points.amin(0)).any():
        column = int(constant.nonzero()[0])
        raise InputError(f"feature {column} of the {name} is the same in all {len(points)} rows: take it away.")
    return points.double()


def mean_cosine(points: Tensor) -> float:
    """Mean cosine of all pairs of different vectors: how narrow their cone is (Liang et al., 2203.02053)."""
    n = len(points)
    return ((normalize(points, dim=1).sum(0).square().sum() - n) / (n * (n - 1))).item()


def paired_cosine(images: Tensor, texts: Tensor) -> float:
    """Mean cosine of each image with its own text."""
    return torch.cosine_similarity(images, texts, dim=1).mean().item()


def modality_gap(images: Tensor, texts: Tensor) -> float:
    """Distance between the means of the unit vectors (Liang et al., 2203.02053, section 4)."""
    return (normalize(images, dim=1).mean(0) - normalize(texts, dim=1).mean(0)).norm().item()


def separation(images: Tensor, texts: Tensor) -> Tensor:
    """|m_i - m_t| / sqrt(var_i + var_t) of each feature, [D] (2411.14517); 0 where a feature is the same throughout."""
    return ((images.mean(0) - texts.mean(0)).abs() / (images.var(0) + texts.var(0)).sqrt()).nan_to_num(0.0)


def gap_energy(images: Tensor, texts: Tensor) -> Tensor:
    """(m_i - m_t)^2 of each feature, [D]."""
    return (images.mean(0) - texts.mean(0)).square()


def gap_share(images: Tensor, texts: Tensor, *, top: int = TOP) -> float:
    """Share of ||m_i - m_t||^2 in the `top` features that have most of it."""
    energy = gap_energy(images, texts).sort(descending=True).values
    return (energy[:top].sum() / energy.sum()).item()


def separated(images: Tensor, texts: Tensor, *, counts: list[int], folds: int = 5) -> Tensor:
    """Whether a linear rule on the best k features tells held-out images from held-out texts.

    Fisher's discriminant on the k features of largest separation; both are found without the fold that is judged, and
    row i of both clouds is in the same fold.

    Args:
        images: [N, D].
        texts: [N, D].
        counts: K numbers of features.
        folds: how often a part is held out, at most N.

    Returns:
        [K, 2, N] bool: right about image i, about text i.
    """
    n = len(images)
    right = torch.zeros(len(counts), 2, n, dtype=torch.bool)
    for fold in torch.arange(n).chunk(min(folds, n)):
        kept = torch.ones(n, dtype=torch.bool)
        kept[fold] = False
        order = separation(images[kept], texts[kept]).argsort(descending=True)
        for k, count in enumerate(counts):
            best = order[:count]
            direction, middle = _discriminant(images[kept][:, best], texts[kept][:, best])
            right[k, 0, fold] = images[fold][:, best] @ direction > middle
            right[k, 1, fold] = texts[fold][:, best] @ direction < middle
    return right


def _discriminant(images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Direction [k] and threshold of Fisher's linear discriminant between two clouds."""
    within = covariance(images) + covariance(texts)
    direction = torch.linalg.lstsq(within, images.mean(0) - texts.mean(0), driver="gelsd").solution
    return direction, (images.mean(0) + texts.mean(0)) @ direction / 2


def covariance(points: Tensor) -> Tensor:
    """Sample covariance [D, D]."""
    centred = points - points.mean(0)
    return centred.T @ centred / (len(points) - 1)


def spectrum(points: Tensor) -> Tensor:
    """Eigenvalues of the sample covariance, largest first, [min(N - 1, D)]."""
    values = torch.linalg.eigvalsh(_gram(points)).flip(0).clamp(min=0)
    return values[: min(len(points) - 1, points.shape[1])] / (len(points) - 1)


def _gram(points: Tensor) -> Tensor:
    """Products of the centred rows or of the centred columns, whichever are fewer: the same eigenvalues but for 0."""
    centred = points - points.mean(0)
    return centred.T @ centred if len(points) > points.shape[1] else centred @ centred.T


def traces(points: Tensor) -> tuple[float, float]:
    """Unbiased estimates of tr(S^2) and (tr S)^2 of the covariance S the rows were drawn with, also for N < D.

    The sample covariance's own traces are too large: its eigenvalues spread with N / D. Himeno and Yamada (2014),
    equations 1.2 and 1.3, which assume no normal distribution.

    Raises:
        ValueError: fewer than 4 rows.
    """
    n = len(points)
    if n < 4:
        raise ValueError(f"traces need 4 or more rows, not {n}")
    squares = (points - points.mean(0)).square().sum(1)
    trace, of_square = squares.sum().item() / (n - 1), _gram(points).square().sum().item() / (n - 1) ** 2
    fourth = squares.square().sum().item() / (n - 1)
    scale = (n - 1) / (n * (n - 2) * (n - 3))
    square = scale * ((n - 1) * (n - 2) * of_square + trace**2 - n * fourth)
    squared = scale * (2 * of_square + (n * n - 3 * n + 1) * trace**2 - n * fourth)
    return square, squared


def participation_ratio(points: Tensor) -> float:
    """PR = (tr S)^2 / tr(S^2): along how many directions a cloud spreads, D if equally along all."""
    of_square, squared = traces(points)
    return squared / of_square


def tilt(points: Tensor) -> float:
    """Mean over features of sum_j |S_ij| / S_ii, j other than i: 0 for an ellipsoid along the axes (2411.14517).

    Sampling alone makes it positive; compare with that of the `permuted` cloud.
    """
    cov = covariance(points)
    varies = cov.diagonal() > 0
    return (cov.abs().sum(1) / cov.diagonal() - 1)[varies].mean().item()


def offset(points: Tensor) -> float:
    """||m|| / ||sigma||: how far the centre is from the origin, in units of the spread (2411.14517)."""
    return (points.mean(0).norm() / points.var(0).sum().sqrt()).item()


def distances(points: Tensor) -> Tensor:
    """Of each vector to the cloud's own mean, [N]."""
    return (points - points.mean(0)).norm(dim=1)


def shell_cv(points: Tensor) -> float:
    """Standard deviation over mean of the distances to the cloud's own mean: 0 on a sphere around it."""
    radii = distances(points)
    return (radii.std() / radii.mean()).item()


def shrunk_spectrum(points: Tensor) -> Tensor:
    """Eigenvalues [D] of the sample covariance drawn towards their mean until tr(S^2) is the unbiased estimate.

    Linear shrinkage as of Ledoit and Wolf (2004), its intensity from `traces`. The trace stays.
    """
    values, sample = torch.zeros(points.shape[1], dtype=points.dtype), spectrum(points)
    values[: len(sample)] = sample
    return values.mean() + (1 - shrinkage(points)) * (values - values.mean())


def shrinkage(points: Tensor) -> float:
    """Intensity in [0, 1] of the linear shrinkage that makes tr(S^2) unbiased; see `shrunk_spectrum`."""
    square = _gram(points).square().sum().item() / (len(points) - 1) ** 2
    flat = points.var(0).sum().item() ** 2 / points.shape[1]
    wanted = min(max(traces(points)[0], flat), square)
    return 1 - math.sqrt((wanted - flat) / (square - flat)) if square > flat else 1.0


def shrunk_covariance(points: Tensor, *, least: float = 1e-3) -> Tensor:
    """The sample covariance [D, D] shrunk as in `shrunk_spectrum`, by at least `least`, so that it has full rank."""
    sample, intensity = covariance(points), max(least, shrinkage(points))
    flat = sample.diagonal().mean() * torch.eye(len(sample), dtype=points.dtype)
    return (1 - intensity) * sample + intensity * flat


def gaussian_cv(points: Tensor) -> float:
    """`shell_cv` of a normal distribution with this cloud's covariance: about 1 / sqrt(2 PR)."""
    return normal_radius_cv(shrunk_spectrum(points))


def normal_radius_cv(eigenvalues: Tensor) -> float:
    """Standard deviation over mean of ||x|| for x normal with mean 0 and these variances [D]; exact.

    E||x|| is the integral over s of (1 - E exp(-s ||x||^2)) s^(-3/2) / (2 sqrt(pi)), where the expectation is the
    product of (1 + 2 s variance)^(-1/2); with s = exp(u) the trapezoidal rule converges exponentially.
    """
    shares = eigenvalues.double() / eigenvalues.sum()
    u = torch.linspace(-60, 60, 2401, dtype=torch.float64)
    logs = torch.log1p(2 * u.exp()[:, None] * shares).sum(1) / 2
    mean = (-torch.expm1(-logs) * torch.exp(-u / 2)).sum() * (u[1] - u[0]) / (2 * math.sqrt(math.pi))
    return math.sqrt(max(0.0, 1 / mean.item() ** 2 - 1))


def permuted(points: Tensor, generator: torch.Generator) -> Tensor:
    """Each feature in an order of its own: the same margins without any dependence, and so along more directions."""
    order = torch.rand(points.shape, generator=generator).argsort(0)
    return points.gather(0, order)


def normal(eigenvalues: Tensor, generator: torch.Generator, *, rows: int) -> Tensor:
    """Normal vectors [rows, D] with these variances along the axes; distances do not ask for directions."""
    noise = torch.randn((rows, len(eigenvalues)), generator=generator, dtype=eigenvalues.dtype)
    return noise * eigenvalues.clamp(min=0).sqrt()
