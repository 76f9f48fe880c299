"""The figures of report 01: clouds, spectra, shells, means that move, maps of position and layer, strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from helpers import contrast, geometry
from helpers.clouds import ALPHAS, ENOUGH, Clouds, nulls
from helpers.figures import CONDITIONS, contact_sheet, mark, spread
from helpers.flow import ENDS, OF_INPUTS
from helpers.interpolation import EXACT
from helpers.plan import generator
from helpers.sights import Sights

BINS = 40
PATHS = {
    "linear": ("#1f2937", "o"),
    "slerp, origin": ("#0072b2", "s"),
    "slerp, mean": ("#56b4e9", "D"),
    "slerp, beta": ("#5c6bc0", "^"),
    "vSLERP, half mean": ("#b4407a", "v"),
    "slerp, whitened": ("#e0a458", "<"),
    EXACT: ("#009e73", ">"),
    "inputs, linear": ("#8a8f98", "p"),
    "inputs, slerp": ("#d55e00", "h"),
}
"""Colour and marker of each path."""
BOTH = ("images", "texts")


def clouds_figure(clouds: Mapping[str, Clouds], features: Mapping[str, tuple[int, int]]) -> Figure:
    """Images and texts on two features of each pair of clouds, side by side."""
    figure, axes = plt.subplots(1, len(clouds), figsize=(4.4 * len(clouds), 3.6), squeeze=False)
    for axis, (name, both) in zip(axes[0], clouds.items(), strict=True):
        x, y = features[name]
        for condition, points in zip(BOTH, (both.images, both.texts), strict=True):
            colour, marker = CONDITIONS[condition]
            axis.scatter(
                points[:, x], points[:, y], s=9, alpha=0.6, linewidths=0, marker=marker, c=colour, label=condition
            )
            axis.scatter(*points.mean(0)[[x, y]], s=90, marker="X", c=colour, edgecolors="white")
        axis.plot(0, 0, "+", color="#101828", markersize=11, label="origin")
        axis.set(title=name, xlabel=f"feature {x}", ylabel=f"feature {y}")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    return figure


def spectra_figure(clouds: Mapping[str, Clouds]) -> Figure:
    """Eigenvalues of each covariance, as shares of its trace."""
    figure, axes = plt.subplots(1, len(clouds), figsize=(4.4 * len(clouds), 3.2), squeeze=False, sharey=True)
    for axis, (name, both) in zip(axes[0], clouds.items(), strict=True):
        for condition, points in zip(BOTH, (both.images, both.texts), strict=True):
            shares = geometry.spectrum(points) / geometry.spectrum(points).sum()
            axis.plot(range(1, len(shares) + 1), shares, color=mark(condition)["color"], label=condition)
        axis.set(title=name, xscale="log", yscale="log", xlabel="eigenvalue, by size", ylim=(1e-6, 1.5))
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:g}")
    axes[0, 0].set_ylabel("share of the trace")
    axes[0, -1].legend(loc="lower left")
    return figure


def accuracy_figure(accuracy: Mapping[str, pd.DataFrame], *, bound: float) -> Figure:
    """Share of held-out images and texts that the best k features tell apart, with intervals."""
    figure, axis = plt.subplots(figsize=(5.6, 3))
    for offset, (name, table) in enumerate(accuracy.items()):
        found = list(table["accuracy"])
        style = {"marker": "o", "color": CONDITIONS["images" if name == "trained" else "untrained"][0]}
        style |= {"yerr": spread(found), "label": name, "markersize": 4}
        axis.errorbar(table["features"] * 1.06**offset, [x.value for x in found], **style)
    axis.axhline(bound, color="#b42318", linestyle=":", label=f"{bound:.2f}, asked for by H1")
    axis.set(xscale="log", xlabel="features", ylabel="held-out accuracy")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def shells_figure(clouds: Clouds, *, seed: int) -> Figure:
    """Distances to the own mean over their mean, beside a Gaussian of the same covariance and permuted features."""
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), sharex=True)
    for axis, condition, points in zip(axes, BOTH, (clouds.images, clouds.texts), strict=True):
        drawn = nulls(points) if len(points) >= ENOUGH else {}
        kinds = {condition: points} | {
            name: make(generator(seed, f"{name}, {condition}")) for name, make in drawn.items()
        }
        radii = {name: geometry.distances(cloud) for name, cloud in kinds.items()}
        relative = torch.cat([r / r.mean() for r in radii.values()])
        bins = np.linspace(relative.min().item(), relative.max().item(), BINS)
        for name, r in radii.items():
            values, colour = (r / r.mean()).numpy(), mark(name)["color"]
            axis.hist(values, bins, density=True, histtype="stepfilled" if name == condition else "step",
                      alpha=0.45 if name == condition else 1, color=colour, linewidth=1.6, label=name)  # fmt: skip
        axis.set(title=condition, xlabel="distance to the own mean, over its mean")
        axis.legend()
    axes[0].set_ylabel("density")
    return figure


def moving_means_figure(clouds: Mapping[str, Clouds]) -> Figure:
    """Loss, alignment and uniformity as the means move."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9))
    for name, both in clouds.items():
        curves = contrast.as_means_move(both.images, both.texts, alphas=ALPHAS, scale=both.scale)
        style = {"color": mark("images" if name == "trained" else "untrained")["color"]}
        style["ls"] = "-" if name == "trained" else "--"
        for axis, column in zip(axes, ("loss", "alignment", "uniformity"), strict=True):
            axis.plot(curves["alpha"], curves[column], label=name, **style)
            axis.axvline(0, color="#d0d5dd", zorder=0)
            axis.set(title=column, xlabel="alpha")
    axes[-1].legend()
    return figure


def maps_figure(maps: Mapping[str, pd.DataFrame], value: str, *, label: str, index: int, around: float = 0.0) -> Figure:
    """Position against layer, one panel a map, colours by ratio; a frame marks the placeholder's index.

    Blank is what the maps leave out. With `around` two colours part there.
    """
    figure, axes = plt.subplots(len(maps), 1, figsize=(8.6, 1.1 + 1.35 * len(maps)), squeeze=False, sharex=True)
    everything = pd.concat(maps.values())
    low, high = everything[value].quantile([0.01, 0.99])
    if around:
        widest = max(high / around, around / low)
        low, high = around / widest, around * widest
    colours = {"norm": LogNorm(low, high, clip=True), "cmap": "RdBu_r" if around else "viridis"}
    layers, positions = everything["layer"].max() + 1, everything["position"].max() + 1
    names = ["embeddings", *(f"block {k}" for k in range(1, layers - 1)), "final norm"]
    for axis, (title, table) in zip(axes[:, 0], maps.items(), strict=True):
        grid = np.full((layers, positions), np.nan)
        grid[table["layer"], table["position"]] = table[value]
        picture = axis.imshow(grid, aspect="auto", origin="lower", **colours)
        axis.add_patch(plt.Rectangle((index - 0.5, -0.5), 1, layers, fill=False, edgecolor="#101828", linewidth=1.5))
        axis.set_title(title)
        shown = range(layers) if layers < 8 else (0, layers - 1)
        axis.set_yticks(shown, [names[layer] for layer in shown])
        axis.grid(False)
    axes[-1, 0].set_xlabel("position of the token, from 0")
    bar = figure.colorbar(picture, ax=axes[:, 0], label=label)
    ticks = [x for x in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= x <= high]
    bar.set_ticks(ticks, labels=[f"{x:g}" for x in ticks], minor=False)
    bar.minorticks_off()
    return figure


def curves_figure(rows: pd.DataFrame, value: str, *, label: str) -> Figure:
    """Mean over pairs and pictures of a column along each path; the exact path is drawn last and widest."""
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    ends = rows[rows["path"] == ENDS].groupby("t")[value].mean()
    inner = rows[rows["path"] != ENDS]
    axis.plot([0, 1], list(ends), color="#d0d5dd", zorder=0)
    for name, (colour, marker) in PATHS.items():
        curve = pd.concat([ends, inner[inner["path"] == name].groupby("t")[value].mean()]).sort_index()
        style = {"linewidth": 2.4 if name == EXACT else 1.2, "zorder": 3 if name == EXACT else 2}
        line = "--" if name in OF_INPUTS else "-"
        axis.plot(curve.index, curve, line, color=colour, marker=marker, markersize=4, label=name, **style)
    axis.set(xlabel="t", ylabel=label)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def strip(sights: Sights, *, pair: int) -> tuple[Figure, str]:
    """The pictures of one noise along each path of one pair, a row a path; and what there is, for the alt text."""
    mine = sights.labels[sights.labels["pair"] == pair]
    ends = mine[mine["path"] == ENDS]
    rows = [pd.concat([ends, mine[mine["path"] == path]]).sort_values("t").index.to_numpy() for path in PATHS]
    tiles = _pictures(sights.pictures, np.concatenate(rows))
    sheet = contact_sheet(tiles, columns=len(rows[0]), row_labels=list(PATHS))
    return sheet, f"{len(rows)} rows of {len(rows[0])} pictures; the ends are the same in every row."


def patched_sheet(sights: Sights, *, pairs: Sequence[int], names: Sequence[str]) -> Figure:
    """One picture of each pair (columns) with each set of positions patched (rows)."""
    labels = sights.labels
    order = [labels.index[(labels["pair"] == p) & (labels["positions"] == name)][0] for name in names for p in pairs]
    tiles = _pictures(sights.pictures, np.array(order))
    return contact_sheet(tiles, columns=len(pairs), row_labels=list(names))


def _pictures(pictures: Tensor, order: np.ndarray) -> np.ndarray:
    return pictures[torch.from_numpy(order)].permute(0, 2, 3, 1).numpy()
