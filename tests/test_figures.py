"""Figures carry captions and alt texts, and no text reaches HTML unescaped."""

import base64
import io
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import figures
from helpers.files import ROOT

matplotlib.use("agg")
EVIL = "<script>alert(\"x\")</script> & 'quoted'"


@pytest.fixture
def pages(monkeypatch):
    """Collect what would be displayed."""
    shown = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(figures, name, lambda data, **_: shown.append(data))
    return shown


def picture(page):
    data = re.search(r"base64,([^\"]+)", page["text/html"])[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_show_has_caption_and_alt_text(pages):
    figures.theme()
    figure, axes = figures.plt.subplots()
    axes.plot([1, 2], **figures.mark("inversion"))
    figures.show(figure, caption="Rates, n = 3", alt="A line goes up")
    page = pages[0]["text/html"]
    assert page.startswith('<figure class="plot"><img') and 'alt="A line goes up"' in page
    assert "<figcaption>Rates, n = 3</figcaption>" in page
    assert not figures.plt.get_fignums(), "a shown figure is closed, or Jupyter shows it again"


@pytest.mark.parametrize("texts", [{"caption": " ", "alt": "x"}, {"caption": "x", "alt": ""}])
def test_show_without_texts_is_refused(texts):
    with pytest.raises(ValueError, match="caption and an alt text"):
        figures.show(figures.plt.figure(), **texts)


def test_user_text_is_escaped_everywhere(pages):
    figures.show(figures.plt.figure(), caption=EVIL, alt=EVIL)
    figures.table(pd.DataFrame({EVIL: [EVIL]}, index=[EVIL]), caption=EVIL)
    figures.answer(EVIL, setup=EVIL)
    figures.say(EVIL)
    assert len(pages) == 4
    for page in pages:
        assert "<script" not in page["text/html"] and "&lt;script&gt;" in page["text/html"]
        assert re.search(r'alt="[^"]*"[^>]*>', page["text/html"]) or "alt=" not in page["text/html"]


def test_table_rounds_and_hides_a_plain_index(pages):
    figures.table(pd.DataFrame({"rate": [0.001234567], "n": [64]}), caption="Rates")
    page = pages[0]["text/html"]
    assert "0.00123<" in page and "<th>0</th>" not in page and "<td>64</td>" in page


def test_every_condition_has_its_own_colour_and_marker():
    marks = list(figures.CONDITIONS.values())
    with pytest.raises(ValueError, match="no colour yet"):
        figures.mark("something else")
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour, _ in marks)
    assert len({colour for colour, _ in marks}) == len({marker for _, marker in marks}) == len(marks)


@pytest.mark.parametrize("zoom", [1, 3])
def test_contact_sheet_keeps_every_pixel(zoom):
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    sheet, drawn = figures.contact_sheet(images, columns=2, row_labels=["a", "$\\foo$ b"], zoom=zoom), io.BytesIO()
    sheet.savefig(drawn, format="png", dpi=figures.DPI)
    seen = np.asarray(Image.open(drawn).convert("RGB"))
    first = images[0].repeat(zoom, axis=0).repeat(zoom, axis=1)
    size = 8 * zoom
    windows = np.lib.stride_tricks.sliding_window_view(seen, (size, size, 3))[:, :, 0]
    assert (windows == first).all(axis=(2, 3, 4)).any(), "the first image is not in the sheet pixel by pixel"


def test_a_page_shows_pictures_as_they_are_but_for_what_no_eye_sees(pages):
    image = np.asarray(Image.open(ROOT / "data" / "concepts" / "alba" / "00.png").convert("RGB"))
    (sheet, shown), drawn = (figures.contact_sheet(image[None], columns=1) for _ in range(2)), io.BytesIO()
    sheet.savefig(drawn, format="png", dpi=figures.DPI)
    figures.show(shown, caption="One", alt="A figure")
    exact, seen = np.asarray(Image.open(drawn).convert("RGB"), np.float64), picture(pages[0])
    assert seen.shape == exact.shape and np.sqrt(np.mean((seen - exact) ** 2)) < 5, "of 255; a PSNR of 34 dB"


def test_lines_and_letters_lose_nothing_but_rare_colours(pages):
    figures.theme()
    figure, axes = figures.plt.subplots()
    axes.plot([1, 2], **figures.mark("inversion"))
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=figures.DPI)
    figures.show(figure, caption="Rates, n = 3", alt="A line goes up")
    exact = np.asarray(Image.open(drawn).convert("RGB"), np.int64)
    assert np.abs(picture(pages[0]) - exact).max() <= 8


def test_contact_sheet_refuses_floats():
    with pytest.raises(ValueError, match="uint8"):
        figures.contact_sheet(np.zeros((1, 8, 8, 3)), columns=1)
