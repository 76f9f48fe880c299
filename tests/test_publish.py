"""From parameters to a page: what is refused, what is kept, what a reader sees."""

import json
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from helpers import publish, publish_html
from helpers.publish_run import without_paths

EVIL = "<img src=x onerror=alert(1)> {0} ' \" \\"
PARAMETERS = """\
profile: str = "quick"  # how much to compute
model: str = "chibi"  # the world
scorer: str = "chibi"  # what scores
concept: str = "hana"  # what to learn
class_word: str = "girl"  # what it is
seed: int = 0  # of every draw
device: str = "cpu"  # where to compute
out: str = ""  # where to write
"""


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def good():
    answer = "figures.answer(f'The word is {class_word}.', 'n = 3', setup=f'profile {profile}, seed {seed}')"
    return [
        new_markdown_cell("# Does it work & last?"),
        code("from helpers import figures\nfigures.theme()\nfigures.answer_here()", "answer"),
        code(PARAMETERS + "steps: int = 10  # updates [> 0]", "parameters"),
        new_markdown_cell("## One claim\n\nProse.\n\n### Detail"),
        code("# Draw the figure\nfig, ax = figures.plt.subplots(figsize=(2, 1))\nax.plot([steps])", "fold"),
        code("figures.show(fig, caption=f'Of {class_word}', alt=f'A point of {class_word}')"),
        code("key_code = steps * 2"),
        code("import sys\nsys.stderr.write('a message\\n')\nprint(class_word)\nclass_word"),
        code("import time\nfor k in range(3):\n    sys.stderr.write(f'\\rat {k}')\n    time.sleep(0.3)"),
        new_markdown_cell("## One claim\n\nAgain."),
        code("from helpers import files\nout = files.out_folder(out, profile=profile)"),
        code(
            "files.write_json(out / '00_good.json', {'results': {'steps': steps}, 'provenance': {'concept': concept}})"
        ),
        code("figures.say(f'{concept} and {concept!r}')"),
        code("files.write_text(out / '00_good' / 'note.txt', 'kept')"),
        code(answer),
    ]


def bad():
    return [
        new_markdown_cell("# What fails?"),
        code(PARAMETERS, "parameters"),
        code("raise ValueError('no picture in photos/: add one')"),
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Return a folder of two notebooks that takes the place of notebooks/, and one for reports."""
    folder = tmp_path_factory.mktemp("house {x}")
    (folder / "notebooks").mkdir()
    for stem, cells in {"00_good": good(), "01_bad": bad()}.items():
        nbformat.write(new_notebook(cells=cells), folder / "notebooks" / f"{stem}.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "NOTEBOOKS", folder / "notebooks")
        yield folder


@pytest.fixture(scope="module")
def published(house):
    """Publish both notebooks once, with text that wants to be HTML, a format string and a shell word."""
    out, photos = house / "reports", house / 'my "photos" & more'
    photos.mkdir()
    words = [
        "--profile",
        "smoke",
        "--class-word",
        EVIL,
        "--concept",
        str(photos),
        "-p",
        "out",
        str(out),
        "-p",
        "steps",
        "3",
    ]
    assert publish.main(words) == 1, "a failing notebook gives a non-zero exit"
    return out


def page(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_a_report_is_whole_and_nothing_else_is_left(published):
    names = {path.name for path in published.iterdir()}
    assert names == {"00_good.ipynb", "00_good.html", "00_good.json", "00_good", "01_bad.failed.ipynb", "index.html"}
    assert json.loads((published / "00_good.json").read_text())["results"] == {"steps": 3}
    assert {path.name for path in (published / "00_good").iterdir()} == {"note.txt", "figure-01.webp"}
    assert (published / "00_good" / "note.txt").read_text() == "kept"


def test_the_failing_notebook_keeps_its_error(published):
    failed = nbformat.read(published / "01_bad.failed.ipynb", as_version=4)
    errors = [output.evalue for cell in failed.cells for output in cell.get("outputs", []) if "evalue" in output]
    assert errors == ["no picture in photos/: add one"]


def test_the_executed_notebook_names_no_path_of_this_machine(published, house):
    for suffix in ("ipynb", "html", "json"):
        text = (published / f"00_good.{suffix}").read_text()
        assert str(house) not in text and house.name not in text
    assert json.loads((published / "00_good.json").read_text())["provenance"]["concept"] == 'my "photos" & more'
    shown = page(published / "00_good.html").get_text()
    assert """my "photos" & more and 'my "photos" & more'""" in shown


def test_contents_lead_to_headings(published):
    soup = page(published / "00_good.html")
    links = [link["href"] for link in soup.select("#contents a")]
    assert links == ["#one-claim", "#one-claim-2"]
    ids = [element["id"] for element in soup.select("[id]")]
    assert len(ids) == len(set(ids)) and {link[1:] for link in links} <= set(ids)


def test_code_is_folded_where_tagged_and_shown_elsewhere(published):
    soup = page(published / "00_good.html")
    folded = soup.select("details.code")
    assert [fold.summary.get_text() for fold in folded] == ["Draw the figure"]
    shown = "".join(pre.get_text() for pre in soup.select("pre") if not pre.find_parent("details"))
    assert "key_code = steps * 2" in shown and "subplots" not in shown
    assert "profile: str" in shown and "steps = 3" in shown, "parameters are shown, defaults and those of the run"
    assert "a message" in soup.select_one("details.log").get_text()


def test_a_cells_log_is_one_fold_with_bars_as_they_ended(published):
    logs = [fold.get_text() for fold in page(published / "00_good.html").select("details.log")]
    assert [log.strip().endswith("at 2") for log in logs if "at " in log] == [True]
    assert not any("at 0" in log or "at 1" in log for log in logs)


def test_user_text_is_text(published):
    for name in ("00_good.html", "index.html"):
        soup = page(published / name)
        assert EVIL in soup.get_text(), name
        assert not soup.select("[onerror], script, iframe, link, object")
    figure = page(published / "00_good.html").select_one("figure.plot")
    assert figure.img["alt"] == f"A point of {EVIL}" and figure.figcaption.get_text() == f"Of {EVIL}"


def test_pages_need_no_network(published):
    for path in published.glob("*.html"):
        soup = page(path)
        policy = soup.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
        assert policy.startswith("default-src 'none'")
        assert all((path.parent / image["src"]).is_file() and image["alt"] for image in soup.select("img"))
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//|@import|url\(", str(soup))


def test_notebook_and_page_share_their_pictures(published):
    text = (published / "00_good.ipynb").read_text(encoding="utf-8")
    assert "base64" not in text and 'src=\\"00_good/figure-01.webp\\"' in text
    (image,) = page(published / "00_good.html").select("img")
    with Image.open(published / image["src"]) as picture:
        assert picture.format == "WEBP" and picture.width >= int(image["width"])


def test_the_index_has_a_card_a_report(published):
    soup = page(published / "index.html")
    (card,) = soup.select(".card")
    assert card.h2.get_text() == "Does it work & last?" and card.a["href"] == "00_good.html"
    assert f"The word is {EVIL}." in card.get_text() and "n = 3" in card.get_text()
    assert {name.get_text() for name in card.select("dt")} == {"date", "model", "concept", "profile", "time"}
    assert page(published / "00_good.html").select_one("header a")["href"] == "index.html"


def test_the_answer_stands_under_the_title(published):
    soup = page(published / "00_good.html")
    assert soup.select_one("h1").find_next("section").select_one(".answer p").get_text() == f"The word is {EVIL}."
    assert soup.select_one(".answer .setup").get_text() == "profile smoke, seed 0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--profile", "huge"], "Parameter profile cannot be 'huge'"),
        (["--train", "never"], "No notebook here has a parameter 'train'"),
        (["-p", "step", "3"], "did you mean steps"),
        (["-p", "steps", "0"], "Parameter steps cannot be 0"),
        (["-p", "seed", "-1"], "Parameter seed cannot be -1"),
        (["-p", "concept", " "], "Parameter concept cannot be ' '"),
        (["--concept", "no/such"], "There is no concept or folder 'no/such'"),
        (["--concept", "x" * 5000], "File name too long"),
        (["--scorer", "../no-such-scorer"], "there is nothing of that name"),
        (["02_missing"], "name one of 00_good, 01_bad"),
    ],
)
def test_refusals_come_before_anything_runs(house, caplog, monkeypatch, words, sentence):
    monkeypatch.setattr(publish.publish_run, "publish", lambda job: pytest.fail("ran"))
    assert publish.main(words) == 2
    (record,) = caplog.records
    assert sentence in record.message and "\n" not in record.message


def test_relative_folders_are_found_from_where_the_notebook_runs(house, monkeypatch):
    monkeypatch.chdir(house)
    (job, _) = publish.plan(publish.select([]), {"profile": "smoke", "concept": "../" + house.name})
    assert job.values["concept"] == str(house / ".." / house.name)


def test_paths_are_found_wherever_a_value_may_be_one(house, monkeypatch, tmp_path):
    monkeypatch.chdir(house)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mug").mkdir()
    (job, _) = publish.plan(publish.select([]), {"concept": "~/mug", "scorer": "local-dir:notebooks"})
    assert job.values["concept"] == str(tmp_path / "mug")
    assert job.values["scorer"] == f"local-dir:{house / 'notebooks'}"
    assert job.values["profile"] == "quick", "the default where none is given"


def test_a_notebook_without_the_common_parameters_is_refused(house, tmp_path):
    nbformat.write(new_notebook(cells=[code("seed: int = 0  # of it", "parameters")]), tmp_path / "09_new.ipynb")
    with pytest.raises(publish.InputError, match=r"09_new.ipynb lacks the parameters profile, .*out"):
        publish.plan([tmp_path / "09_new.ipynb"], {})


def test_pictures_are_left_alone_where_paths_are_taken_out():
    text = json.dumps({"image/png": "iVBORw0KGgo/mugAAA==", "concept": "/mug"})
    assert json.loads(without_paths(text, {"concept": "/mug"})) == json.loads(text) | {"concept": "mug"}


def test_only_full_writes_the_index_of_all(tmp_path):
    reports = publish.files.ROOT / "reports"
    assert publish_html.index_path(reports / "full", profile="full") == reports / "index.html"
    assert publish_html.index_path(reports / "quick", profile="quick") == reports / "quick" / "index.html"
    assert publish_html.index_path(tmp_path, profile="full") == tmp_path / "index.html"


@pytest.mark.parametrize("escaped", [False, True])
def test_folders_with_accents_leave_no_path_either(escaped):
    folder = "/srv/zoë/photos/mug"
    papermill = f'concept = "{folder.encode("unicode_escape").decode()}"'
    text = json.dumps({"concept": folder, "source": papermill}, ensure_ascii=escaped)
    assert json.loads(without_paths(text, {"concept": folder})) == {"concept": "mug", "source": 'concept = "mug"'}
