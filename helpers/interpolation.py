"""Paths between two text states, and how each leaves the shell that the final layer norm puts all states on.

The norm makes h = gamma * z + beta with ||z|| = sqrt(D) and sum z = 0, so that states lie on an ellipsoid around beta:
its great circles in z are `exact_path`. All functions take states [..., D] and times [T] and give points [T, ..., D].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

PARALLEL = 1e-4
"""Radians below which two directions are one, and a straight line serves; or below which they are opposite."""
EXACT = "exact path"
"""What `exact_path` is called in reports."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the paths between states refer to; everything may have leading dimensions, such as positions."""

    gamma: Tensor
    """[D], scale of the final layer norm."""
    beta: Tensor
    """[D], its shift."""
    mean: Tensor
    """[..., D], of a population of states."""
    covariance: Tensor
    """[..., D, D], of that population, of full rank."""


Path = Callable[[Tensor, Tensor, Tensor], Tensor]


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight line."""
    t = _times(t, a)
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical linear interpolation about the origin (Shoemake 1985); lengths that differ change smoothly.

    The straight line where a and b are parallel.

    Raises:
        ValueError: a and b are opposite, so that no great circle is the shortest.
    """
    cosine = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    angle = cosine.acos().unsqueeze(-1)
    if (angle > math.pi - PARALLEL).any():
        raise ValueError("two states are opposite, so that no path between them is the shortest")
    times, safe = _times(t, a), angle.clamp(min=PARALLEL)
    curved = (((1 - times) * safe).sin() * a + (times * safe).sin() * b) / safe.sin()
    return torch.where(angle < PARALLEL, linear(a, b, t), curved)


def slerp_about(a: Tensor, b: Tensor, t: Tensor, centre: Tensor) -> Tensor:
    """Spherical linear interpolation about another centre [..., D]."""
    return centre + slerp(a - centre, b - centre, t)


def vslerp(a: Tensor, b: Tensor, t: Tensor, *, mean: Tensor, alpha: float) -> Tensor:
    """vSLERP (2411.14517): slerp about alpha times the population's mean; 0 is slerp, 1 is slerp about the mean.

    The authors' published code takes the arc cosine of the elementwise product instead of the inner product; this is
    the paper's formula.
    """
    return slerp_about(a, b, t, alpha * mean)


def whitened_slerp(a: Tensor, b: Tensor, t: Tensor, *, mean: Tensor, covariance: Tensor) -> Tensor:
    """slerp where the population has mean 0 and covariance 1, after Whitened CLIP (2505.06934)."""
    values, vectors = torch.linalg.eigh(covariance)
    out = vectors * values.rsqrt().unsqueeze(-2)  # [..., D, D], white = x @ out
    back = (vectors * values.sqrt().unsqueeze(-2)).mT
    white = [((x - mean).unsqueeze(-2) @ out).squeeze(-2) for x in (a, b)]
    return mean + (slerp(*white, t).unsqueeze(-2) @ back).squeeze(-2)


def exact_path(a: Tensor, b: Tensor, t: Tensor, *, gamma: Tensor, beta: Tensor) -> Tensor:
    """beta + gamma * slerp(z_a, z_b) with z = (h - beta) / gamma: every point is what a final layer norm can give.

    Raises:
        ValueError: a scale is 0, so that z is not known.
    """
    if not gamma.all():
        raise ValueError("the final layer norm has a scale of 0, so its input is not known")
    return beta + gamma * slerp((a - beta) / gamma, (b - beta) / gamma, t)


def paths(frame: Frame) -> dict[str, Path]:
    """Every way from one state to another, by the name it has in reports."""
    return {
        "linear": linear,
        "slerp, origin": slerp,
        "slerp, mean": lambda a, b, t: slerp_about(a, b, t, frame.mean),
        "slerp, beta": lambda a, b, t: slerp_about(a, b, t, frame.beta),
        "vSLERP, half mean": lambda a, b, t: vslerp(a, b, t, mean=frame.mean, alpha=0.5),
        "slerp, whitened": lambda a, b, t: whitened_slerp(a, b, t, mean=frame.mean, covariance=frame.covariance),
        EXACT: lambda a, b, t: exact_path(a, b, t, gamma=frame.gamma, beta=frame.beta),
    }


def on_shell(points: Tensor, frame: Frame) -> Tensor:
    """The nearest points that a final layer norm can give, nearest in z, [..., D]."""
    z = (points - frame.beta) / frame.gamma
    level = z - z.mean(-1, keepdim=True)
    return frame.beta + frame.gamma * level * (math.sqrt(points.shape[-1]) / level.norm(dim=-1, keepdim=True))


def off_shell(points: Tensor, frame: Frame) -> Tensor:
    """Distance in z to the shell over its radius sqrt(D), [...]: 0 on it, 1 at beta."""
    away = (points - on_shell(points, frame)) / frame.gamma
    return away.norm(dim=-1) / math.sqrt(points.shape[-1])


def path_length(points: Tensor) -> Tensor:
    """Length [...] of the polygon through points [T, ..., D]."""
    return points.diff(dim=0).norm(dim=-1).sum(0)


def mahalanobis(points: Tensor, frame: Frame) -> Tensor:
    """Distance from the population's mean in its own deviations, over sqrt(D), [...]: about 1 for its members."""
    factor = torch.linalg.cholesky(frame.covariance)
    white = torch.linalg.solve_triangular(factor, (points - frame.mean).unsqueeze(-1), upper=False).squeeze(-1)
    return white.norm(dim=-1) / math.sqrt(points.shape[-1])


def geodesic(a: Tensor, b: Tensor, *, gamma: Tensor, beta: Tensor, segments: int = 32, rounds: int = 20) -> Tensor:
    """The shortest path on the shell between states [..., D] that are on it, [segments + 1, ..., D], numerically.

    Minimises the energy of a polygon whose corners stay on the shell, which also spaces them evenly, by L-BFGS from
    `exact_path`. Distances are those of the states, so the shell is an ellipsoid and not a sphere. The polygon is
    shorter than the curve by about (angle / segments)^2 / 24 of it; compare with polygons of as many corners.
    """
    frame = Frame(gamma=gamma, beta=beta, mean=beta, covariance=torch.empty(0))
    times = torch.linspace(0, 1, segments + 1, dtype=a.dtype, device=a.device)
    start = exact_path(a, b, times, gamma=gamma, beta=beta)
    inner = start[1:-1].clone().requires_grad_(True)
    solver = torch.optim.LBFGS([inner], max_iter=50, history_size=20, line_search_fn="strong_wolfe")

    def polygon() -> Tensor:
        return torch.cat([start[:1], on_shell(inner, frame), start[-1:]])

    def energy() -> Tensor:
        solver.zero_grad()
        total = segments * polygon().diff(dim=0).square().sum()
        total.backward()
        return total.detach()

    before = math.inf
    for _ in range(rounds):
        now = solver.step(energy).item()
        if before - now <= 1e-9 * now:
            break
        before = now
    return polygon().detach()


def compared(a: Tensor, b: Tensor, frame: Frame, *, segments: int = 32) -> Mapping[str, dict[str, Tensor]]:
    """Of each path between P pairs of states [P, D] at one position, three numbers [P] each.

    off_shell: the most along the path; length: over that of the geodesic, below 1 for a path that leaves the shell
    inwards; drift: the Mahalanobis distance half way over the mean of the ends', minus 1.
    """
    times = torch.linspace(0, 1, segments + 1, dtype=a.dtype, device=a.device)
    shortest = path_length(geodesic(a, b, gamma=frame.gamma, beta=frame.beta, segments=segments))
    found = {}
    for name, path in paths(frame).items():
        points = path(a, b, times)
        depth = mahalanobis(points[[0, segments // 2, -1]], frame)
        found[name] = {
            "off_shell": off_shell(points, frame).amax(0),
            "length": path_length(points) / shortest,
            "drift": depth[1] / ((depth[0] + depth[2]) / 2) - 1,
        }
    return found


def _times(t: Tensor, like: Tensor) -> Tensor:
    """Times [T] as [T, 1, ...], to go with states."""
    return t.to(like).view(-1, *[1] * like.ndim)
