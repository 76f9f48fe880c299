"""How reports look: one theme, one colour and marker a condition, captions and alt texts.

Everything a notebook displays goes through here, so that all text, a user's concept names and
prompts among it, is escaped on its way into HTML.
"""

import base64
import html
import io
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from IPython.display import display, update_display
from matplotlib.figure import Figure
from PIL import Image

from helpers.stats import Interval

DPI = 192
"""Pixels an inch of a saved figure; pages show 96, so that figures are sharp on dense screens."""

PICTURES = "pictures"
"""Label of figures that hold pictures, of which every colour counts."""

THEME = {
    "figure.figsize": (7.0, 4.0),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 10,
    "text.parse_math": False,  # labels are a user's words, in which a dollar is a dollar
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#667085",
    "axes.labelcolor": "#344054",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ec",
    "grid.linewidth": 0.8,
    "xtick.color": "#475467",
    "ytick.color": "#475467",
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "errorbar.capsize": 3,
    "legend.frameon": False,
}

CONDITIONS = {
    "real": ("#1f2937", "*"),
    "reconstructed": ("#6b7280", "X"),
    "generated": ("#5c6bc0", "h"),
    "class word": ("#8a8f98", "P"),
    "without S*": ("#c4b5a0", "p"),
    "inversion": ("#0072b2", "o"),
    "lora": ("#d55e00", "s"),
    "pivotal": ("#009e73", "D"),
    "regularised": ("#cc79a7", "^"),
    "named": ("#b8860b", "v"),
    "null": ("#56b4e9", "<"),
    "images": ("#0f766e", "8"),
    "texts": ("#b4407a", "d"),
    "untrained": ("#9a8c98", "1"),
    "Gaussian": ("#475467", "|"),
    "permuted": ("#e0a458", "x"),
    "source": ("#7b2d8b", ">"),
    "base": ("#3f8f3f", "H"),
    "more vectors": ("#9a3412", "2"),
    "training pictures": ("#334155", "3"),
    "kept near": ("#be185d", "4"),
    "another start": ("#7c8f00", "+"),
    "described": ("#a16207", "."),
}
"""Colour and marker of a condition, the same in every report; colours differ in lightness too."""


def log_here() -> None:
    """Show in the notebook what the helpers have to say, such as how a concept's pictures are cropped."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("helpers").setLevel(logging.INFO)


def theme() -> None:
    """Make every figure of this notebook look like those of the others.

    Figures then appear through `show` alone, never by themselves without caption and alt text.
    """
    plt.switch_backend("agg")
    plt.rcParams.update(THEME)


def mark(condition: str) -> dict[str, str]:
    """Return colour, marker and label of a condition, as keyword arguments of a plotting call."""
    if condition not in CONDITIONS:
        raise ValueError(f"Condition {condition!r} has no colour yet: add it to helpers.figures.CONDITIONS.")
    colour, marker = CONDITIONS[condition]
    return {"color": colour, "marker": marker, "label": condition}


def shades(condition: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """As `mark`, for several runs of one condition in their order: from light to its own colour to dark."""
    colour, _ = CONDITIONS[condition]
    light, dark = seaborn.light_palette(colour, 4)[1], seaborn.dark_palette(colour, 4)[1]
    colours = seaborn.blend_palette([light, colour, dark], len(names)).as_hex()
    markers = itertools.cycle("osD^v<>")
    return {n: {"color": c, "marker": m, "label": n} for n, c, m in zip(names, colours, markers, strict=False)}


def answer_here() -> None:
    """Hold the place of the answer under the title; `answer` fills it from further down."""
    _display("<p class='pending'>The answer appears here when the notebook has run.</p>", "", display_id="answer")


def answer(*lines: str, setup: str) -> None:
    """Put the answer where `answer_here` stands: up to three lines, then one line of set-up."""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    page = f'<div class="answer">{paragraphs}<p class="setup">{html.escape(setup)}</p></div>'
    update_display({"text/html": page, "text/plain": "\n".join(lines)}, display_id="answer", raw=True)


def say(text: str) -> None:
    """Write a sentence with computed numbers in it."""
    _display(f'<p class="say">{html.escape(text)}</p>', text)


def show(figure: Figure, *, caption: str, alt: str) -> None:
    """Show a figure with its caption (with n and the kind of interval) and a text for who cannot see it."""
    if not caption.strip() or not alt.strip():
        raise ValueError("A figure needs a caption and an alt text: say what it shows and what can be seen in it.")
    width = round(figure.get_figwidth() * 96)
    data = base64.b64encode(encoded(figure)).decode("ascii")
    image = f'<img src="data:image/webp;base64,{data}" width="{width}" alt="{html.escape(alt)}">'
    page = f'<figure class="plot">{image}<figcaption>{html.escape(caption)}</figcaption></figure>'
    _display(page, f"{caption}\n{alt}")


def encoded(figure: Figure) -> bytes:
    """A figure as WebP, as small as it can be looked at closely; closes it.

    Lines and letters need few colours, 256, and no loss beyond. Of pictures every colour counts but not its last digit:
    quality 90. Pictures pixel by pixel are in the files beside a report.
    """
    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    with Image.open(buffer) as drawn:
        colours = drawn.convert("RGB")
    if figure.get_label() == PICTURES:
        colours.save(small, "WEBP", quality=90, method=6)
    else:
        few = colours.quantize(256, dither=Image.Dither.NONE).convert("RGB")
        few.save(small, "WEBP", lossless=True, quality=100, method=6)
    return small.getvalue()


def table(rows: pd.DataFrame, *, caption: str, digits: int = 3) -> None:
    """Show a small table; numbers keep `digits` significant digits, the index is shown if it has names."""
    named = not isinstance(rows.index, pd.RangeIndex)
    body = rows.to_html(index=named, border=0, float_format=lambda x: format(x, f".{digits}g"), na_rep="–")
    page = f'<figure class="table"><figcaption>{html.escape(caption)}</figcaption><div>{body}</div></figure>'
    _display(page, f"{caption}\n{rows.to_string(index=named)}")


def contact_sheet(
    images: np.ndarray,
    *,
    columns: int,
    row_labels: Sequence[str] = (),
    zoom: int = 0,
) -> Figure:
    """Lay out uint8 images [n, height, width, 3] in rows, every pixel `zoom` pixels wide, or an image about 128 (0).

    Give the figure to `show`. Without resampling: what a reader sees is what the model drew.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(
            f"A contact sheet takes uint8 images [n, height, width, 3], not {images.dtype} {images.shape}."
        )
    gap, zoom = 6, zoom or max(1, 128 // images.shape[1])
    canvas = _tile(images.repeat(zoom, axis=1).repeat(zoom, axis=2), columns=columns, gap=gap)
    left = 24 + max((15 * len(label) for label in row_labels), default=0)
    height, width = canvas.shape[0] + gap, canvas.shape[1] + left
    figure = plt.figure(figsize=(width / DPI, height / DPI), layout="none", label=PICTURES)
    axes = figure.add_axes((left / width, 0, canvas.shape[1] / width, canvas.shape[0] / height))
    axes.imshow(canvas, interpolation="nearest", aspect="auto", extent=(0, canvas.shape[1], canvas.shape[0], 0))
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    pitch = images.shape[1] * zoom + gap
    axes.set_yticks([(row + 0.5) * pitch for row in range(len(row_labels))], row_labels)
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9)
    return figure


def intervals(
    groups: Mapping[str, Mapping[str, Interval]],
    *,
    bounds: Mapping[str, float],
    label: str,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Draw numbers with their intervals, a row each, one marker a condition; a tick shows a row's bound.

    A condition may lack a row; its colour and marker are those of `mark` unless `styles` gives others.
    """
    rows = list(dict.fromkeys(row for numbers in groups.values() for row in numbers))
    figure, axes = plt.subplots(figsize=(7, 0.7 + max(0.42, 0.14 * len(groups)) * len(rows)))
    step = min(0.22, 0.8 / len(groups))
    for offset, (condition, numbers) in enumerate(groups.items()):
        here = [n for n, row in enumerate(rows) if row in numbers]
        points = [numbers[rows[n]] for n in here]
        heights = np.array(here) + step * (offset - (len(groups) - 1) / 2)
        style = styles[condition] if styles else mark(condition)
        axes.errorbar([p.value for p in points], heights, xerr=spread(points), ls="", **style)
    marked = [row for row in rows if row in bounds]
    heights = [rows.index(row) for row in marked]
    if marked:
        axes.plot([bounds[row] for row in marked], heights, "|", color="#b42318", markersize=18, label="bound")
    axes.set(yticks=range(len(rows)), yticklabels=[row.replace("_", " ") for row in rows], xlabel=label)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def spread(points: Sequence[Interval]) -> np.ndarray:
    """[2, N] how far each interval goes below and above its number, as matplotlib's error bars want it; NaN, which
    draws none, of too few concepts."""
    bars = [[max(0.0, p.value - p.low), max(0.0, p.high - p.value)] for p in points]
    return np.where([[p.too_few] * 2 for p in points], np.nan, bars).T


def _tile(images: np.ndarray, *, columns: int, gap: int) -> np.ndarray:
    """Put images in rows on white paper, `gap` pixels apart."""
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    paper = np.full((rows * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        paper[top : top + height, left : left + width] = image
    return paper


def _display(page: str, plain: str, **options: Any) -> None:
    """Display HTML, with plain text for a terminal or a search."""
    display({"text/html": page, "text/plain": plain}, raw=True, **options)
