"""Executed notebooks to HTML: a report's page and the index of all reports."""

import functools
import html
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from helpers import files

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""A page may show the pictures beside it and nothing else: no script, no other host, whatever is in it."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the index says about one report."""

    href: str
    title: str
    answer: list[str]
    """The lines under the title."""
    facts: dict[str, str]
    """Date, model, profile, seconds."""


def render(notebook: NotebookNode, *, index_href: str) -> str:
    """Render an executed notebook as one page, which needs nothing but the pictures it links to."""
    facts = " · ".join(f"{name} {value}" for name, value in facts_of(notebook).items())
    resources = {
        "title": title_of(notebook),
        "index_href": index_href,
        "colophon": f"Near the Pivot · {facts}",
        "policy": POLICY,
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
    }
    page, _ = _exporter().from_notebook_node(notebook, resources)
    return _with_contents(page)


@functools.cache
def _exporter() -> HTMLExporter:
    kinds = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
    return HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
        filters={"summary": summary},
        config=Config({"NbConvertBase": {"display_data_priority": kinds}}),
    )


def summary(source: str) -> str:
    """Name a folded cell: its first line if that is a comment."""
    first = source.strip().splitlines()[0]
    return first.lstrip("# ") if first.startswith("#") else "Code"


def _with_contents(page: str) -> str:
    """Give every heading an anchor of its own and list the sections at the top."""
    soup = BeautifulSoup(page, "html.parser")
    taken: set[str] = set()
    sections = []
    for heading in soup.select("section.prose h2, section.prose h3"):
        text = heading.get_text()
        heading["id"] = _anchor(text, taken)
        if heading.name == "h2":
            sections.append((heading["id"], text))
        link = soup.new_tag("a", attrs={"class": "heading-link", "href": f"#{heading['id']}", "aria-label": "Link"})
        link.string = "§"
        heading.append(link)
    soup.select_one("#contents").append(_contents(soup, sections))
    return str(soup)


def _anchor(text: str, taken: set[str]) -> str:
    """Return an anchor in plain letters that no other heading has."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
    anchor = next(name for name in (base, *(f"{base}-{n}" for n in range(2, 1000))) if name not in taken)
    taken.add(anchor)
    return anchor


def _contents(soup: BeautifulSoup, sections: list[tuple[str, str]]) -> Tag:
    details = soup.new_tag("details", attrs={"open": ""})
    summary_tag, items = soup.new_tag("summary"), soup.new_tag("ol")
    summary_tag.string = "Contents"
    for anchor, text in sections:
        item, link = soup.new_tag("li"), soup.new_tag("a", attrs={"href": f"#{anchor}"})
        link.string = text
        item.append(link)
        items.append(item)
    details.extend([summary_tag, items])
    return details


def title_of(notebook: NotebookNode) -> str:
    """Return the notebook's question: the text of its H1."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+?) *#*$", text, re.MULTILINE)
    return found[1] if found else "Untitled"


def answer_of(notebook: NotebookNode) -> list[str]:
    """Return the lines of the answer, or the first paragraph where there is none yet."""
    for cell in notebook.cells:
        if "answer" in cell.metadata.get("tags", []):
            texts = [output.data["text/plain"] for output in cell.outputs if "data" in output]
            return [line for text in texts for line in text.splitlines() if line]
    prose = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    paragraphs = [part.strip() for part in prose.split("\n\n") if part.strip() and not part.startswith("#")]
    return paragraphs[:1]


def facts_of(notebook: NotebookNode) -> dict[str, str]:
    """Return what `helpers.publish` noted in the notebook, in words."""
    report: dict[str, Any] = notebook.metadata.get("report", {})
    facts = {name: str(report[name]) for name in ("date", "model", "concept", "profile") if name in report}
    return facts | {"time": f"{report['seconds']:.0f} s"} if "seconds" in report else facts


def index_path(out: Path, *, profile: str) -> Path:
    """Return where the index of a report folder is: reports/index.html is written from full only."""
    published = out.resolve() == (files.ROOT / "reports" / "full").resolve()
    return (out.parent if profile == "full" and published else out) / "index.html"


def href(target: Path, *, start: Path) -> str:
    """Return a relative link from the folder `start` to a file."""
    return quote(Path(os.path.relpath(target, start)).as_posix())


def write_index(out: Path, *, profile: str) -> Path:
    """Write the index of the reports in a folder; return where it is."""
    index = index_path(out, profile=profile)
    reports = sorted(path for path in out.glob("*.ipynb") if path.with_suffix(".html").is_file())
    cards = [_card(path, start=index.parent) for path in reports]
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("index.html.j2").render(cards=cards, policy=Markup(POLICY), style=style)
    files.write_text(index, page + "\n")
    return index


def _card(path: Path, *, start: Path) -> Card:
    notebook = nbformat.read(path, as_version=4)
    return Card(
        href=href(path.with_suffix(".html"), start=start),
        title=html.unescape(title_of(notebook)),
        answer=answer_of(notebook),
        facts=facts_of(notebook),
    )
