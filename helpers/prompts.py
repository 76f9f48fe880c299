"""Prompts: the training templates, the edit prompts, and what becomes of a prompt without S*.

S* marks the learned concept in every template and prompt. The template sets are those of the
Textual Inversion paper (Gal et al., 2208.01618, supplementary), written with S*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from helpers.config import InputError
from helpers.files import ROOT

PLACEHOLDER = "S*"
SECOND_PLACEHOLDER = "T*"
"""A second token, beside S*, in prompts about two concepts."""
PAIR = f"{PLACEHOLDER} and {SECOND_PLACEHOLDER}"
IMAGE_PLACEHOLDER = "S_i"
KINDS = ("background", "style", "object", "companion", "pose")
COMBINATIONS = ("single", "seen", "held-out")
"""One thing is asked for; two that training pictures show together; two that they never do."""

_OBJECT = (
    "a photo of a S*",
    "a rendering of a S*",
    "a cropped photo of the S*",
    "the photo of a S*",
    "a photo of a clean S*",
    "a photo of a dirty S*",
    "a dark photo of the S*",
    "a photo of my S*",
    "a photo of the cool S*",
    "a close-up photo of a S*",
    "a bright photo of the S*",
    "a cropped photo of a S*",
    "a photo of the S*",
    "a good photo of the S*",
    "a photo of one S*",
    "a close-up photo of the S*",
    "a rendition of the S*",
    "a photo of the clean S*",
    "a rendition of a S*",
    "a photo of a nice S*",
    "a good photo of a S*",
    "a photo of the nice S*",
    "a photo of the small S*",
    "a photo of the weird S*",
    "a photo of the large S*",
    "a photo of a cool S*",
    "a photo of a small S*",
)

_STYLE = (
    "a painting in the style of S*",
    "a rendering in the style of S*",
    "a cropped painting in the style of S*",
    "the painting in the style of S*",
    "a clean painting in the style of S*",
    "a dirty painting in the style of S*",
    "a dark painting in the style of S*",
    "a picture in the style of S*",
    "a cool painting in the style of S*",
    "a close-up painting in the style of S*",
    "a bright painting in the style of S*",
    "a good painting in the style of S*",
    "a rendition in the style of S*",
    "a nice painting in the style of S*",
    "a small painting in the style of S*",
    "a weird painting in the style of S*",
    "a large painting in the style of S*",
)

TEMPLATES: dict[str, tuple[str, ...]] = {
    "object": _OBJECT,
    "style": _STYLE,
    "anime": ("an anime illustration of S*",),
    "pair": tuple(text.replace(PLACEHOLDER, PAIR) for text in _OBJECT),
}
"""The paper's two sets; the prompt of part 1's geometry; and the first set for pictures that show two concepts."""


@dataclass(frozen=True, kw_only=True)
class EditPrompt:
    """A prompt that asks for S* in a new situation."""

    kind: str
    """One of KINDS."""
    text: str
    """The prompt, with S* in it once."""
    asks: tuple[tuple[str, str], ...] = ()
    """Factors and values that chibi's reader should find in the picture; empty for prompts about other worlds."""
    combination: str = ""
    """Whether chibi's training pictures show what is asked for together: one of COMBINATIONS, or nothing."""


def templates(name: str) -> tuple[str, ...]:
    """The template set of this name.

    Raises:
        InputError: there is no such set.
    """
    if name not in TEMPLATES:
        raise InputError(f"template set {name!r} does not exist: name one of {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]


def placeholders(template_set: str) -> str:
    """What a template set teaches and prompts then ask for: S*, or S* and T*."""
    return PAIR if template_set == "pair" else PLACEHOLDER


def without_placeholder(prompt: str) -> str:
    """The prompt without S*, whose text embedding measures editability (2208.01618, section 5.1).

    An article that belongs to S* goes with it: both "a photo of S* on the moon" and "a photo of a
    S* on the moon" become "a photo of on the moon".
    """
    bare = re.sub(r"(\b(an?|the)\s+)?" + re.escape(PLACEHOLDER), " ", prompt, flags=re.IGNORECASE)
    return " ".join(bare.split())


def edit_file(name: str) -> Path:
    """Path of a set of edit prompts: a name in data/prompts, else the path itself."""
    embedded = {path.stem: path for path in (ROOT / "data" / "prompts").glob("*.yaml")}
    return embedded.get(name, Path(name).expanduser())


def load_edit_prompts(path: Path) -> tuple[EditPrompt, ...]:
    """Edit prompts of a YAML file that maps each kind to a list of prompts.

    A prompt is a text, or a map of `text` and, for chibi, `asks` (a map of factors to values) and `combination`.

    Raises:
        InputError: the file is missing, is no such map, or a prompt lacks S*.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a YAML file of edit prompts, or one in data/prompts.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{path} is not readable as YAML ({first_line}): write one list of prompts a kind.") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} holds no prompts: write one list of prompts for each kind ({', '.join(KINDS)}).")
    for kind, texts in content.items():
        if not isinstance(texts, list) or not texts:
            raise InputError(f"{path}, {kind}: {texts!r} is no list of prompts: write one a line, each after a dash.")
    prompts = tuple(_edit_prompt(path, kind, text) for kind, texts in content.items() for text in texts)
    texts = [prompt.text for prompt in prompts]
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise InputError(f"{path} has a prompt twice ({twice[0]!r}): take one away.")
    return prompts


def _edit_prompt(path: Path, kind: object, written: object) -> EditPrompt:
    if kind not in KINDS:
        raise InputError(f"{path} has prompts of kind {kind!r}: use the kinds {', '.join(KINDS)}.")
    entry = written if isinstance(written, dict) else {"text": written}
    text, asks, combination = entry.get("text"), entry.get("asks", {}), entry.get("combination", "")
    if isinstance(text, str) and SECOND_PLACEHOLDER in text:
        raise InputError(f"{path}, {kind}: prompt {text!r} names {SECOND_PLACEHOLDER}: write one {PLACEHOLDER} alone.")
    if not isinstance(text, str) or text.count(PLACEHOLDER) != 1:
        raise InputError(f"{path}, {kind}: prompt {text!r} must be a text with {PLACEHOLDER} in it once.")
    unknown = [str(field) for field in entry if field not in ("text", "asks", "combination")]
    if unknown or not isinstance(asks, dict) or combination not in ("", *COMBINATIONS):
        raise InputError(
            f"{path}, {kind}: {text!r} has fields that are not understood: give text, asks (a map of factors to "
            f"values) and combination (one of {', '.join(COMBINATIONS)})."
        )
    pairs = tuple((str(factor), str(value)) for factor, value in asks.items())
    return EditPrompt(kind=kind, text=text, asks=pairs, combination=combination)


def few_of_each_kind(prompts: tuple[EditPrompt, ...], count: int) -> tuple[EditPrompt, ...]:
    """At most `count` prompts of each kind, the first ones, in the order of the file."""
    kept: list[EditPrompt] = []
    for prompt in prompts:
        if sum(other.kind == prompt.kind for other in kept) < count:
            kept.append(prompt)
    return tuple(kept)
