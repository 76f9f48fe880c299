"""Edit prompts about the chibi world: `python -m helpers.world.edits` writes data/prompts/edits.yaml.

Half of them ask for two things that no training picture shows together. What a prompt asks for is
written beside it, in the reader's words, so that a picture of it can be read.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from helpers.files import ROOT, write_text
from helpers.prompts import EditPrompt
from helpers.world import scene as w
from helpers.world.captions import BACKGROUND_PHRASES, STYLE_OPENINGS, shown
from helpers.world.population import held_out_pairs

COMPANIONS = ("miko", "luna", "taro")
"""Named characters, of those that training pictures show most."""
PAIRS = {
    ("art_style", "background"): "background",
    ("background", "pose"): "pose",
    ("background", "object"): "object",
    ("object", "pose"): "pose",
    ("art_style", "object"): "style",
}
"""Factors that are asked for together, and the kind of such a prompt."""
SINGLE, SEEN, HELD_OUT = 3, 2, 5
"""Prompts for one thing of each kind; for two things, of each pair of factors, seen together and held out."""


def edit_prompts() -> Iterator[EditPrompt]:
    """All prompts about chibi. Within a kind held-out ones and others take turns, so that the first are a mixture."""
    others, held_out = [], []
    values = {
        "background": ("background", list(BACKGROUND_PHRASES)),
        "style": ("art_style", shown_styles()),
        "object": ("object", list(shown("object"))),
        "companion": ("companion", list(COMPANIONS)),
        "pose": ("pose", list(w.POSES)),
    }
    for number, (kind, (factor, names)) in enumerate(values.items()):
        for k in some("things", number, len(names), SINGLE):
            others.append(asked(kind, {factor: names[k]}, "single"))
    for number, (pair, kind) in enumerate(PAIRS.items()):
        for found, combination, count in ((others, "seen", SEEN), (held_out, "held-out", HELD_OUT)):
            both = [b for b in pairs(pair) if (b in held_out_pairs()[pair]) == (combination == "held-out")]
            for k in some(f"{combination} pairs", number, len(both), count):
                found.append(asked(kind, dict(zip(pair, both[k], strict=True)), combination))
    for kind in values:
        mine = ([prompt for prompt in prompts if prompt.kind == kind] for prompts in (others, held_out))
        yield from (prompt for turn in itertools.zip_longest(*mine) for prompt in turn if prompt)


def some(stream: str, number: int, n: int, count: int) -> list[int]:
    """`count` of the numbers below n, or all of them, the same at every call."""
    return sorted(w.rng(13, f"{stream} to edit", number).permutation(n)[:count].tolist())


def shown_styles() -> list[str]:
    """Art styles that an edit can ask for: those of training pictures, but the plain one."""
    return [style for style in STYLE_OPENINGS if style != "illustration"]


def pairs(factors: tuple[str, str]) -> list[tuple[str, str]]:
    """Pairs of values that prompts can name, of two factors."""
    values = {
        "art_style": shown_styles(),
        "background": list(BACKGROUND_PHRASES),
        "object": list(shown("object")),
        "pose": list(w.POSES),
    }
    return list(itertools.product(*(values[factor] for factor in factors)))


def asked(kind: str, asks: dict[str, str], combination: str) -> EditPrompt:
    """The prompt that asks for these values."""
    opening = next(iter(STYLE_OPENINGS[asks["art_style"]])) if "art_style" in asks else "a photo of"
    parts = [f"{opening} S*"]
    parts += [f"with {asks['companion'].title()}"] if "companion" in asks else []
    parts += [asks["pose"]] if "pose" in asks else []
    parts += [f"next to a {asks['object']}"] if "object" in asks else []
    parts += [BACKGROUND_PHRASES[asks["background"]][0]] if "background" in asks else []
    return EditPrompt(kind=kind, text=" ".join(parts), asks=tuple(asks.items()), combination=combination)


def as_yaml(prompts: Iterable[EditPrompt]) -> str:
    """The prompts as `prompts.load_edit_prompts` reads them."""
    kinds: dict[str, list[dict]] = {}
    for prompt in prompts:
        entry = {"text": prompt.text, "asks": dict(prompt.asks), "combination": prompt.combination}
        kinds.setdefault(prompt.kind, []).append(entry)
    head = "# Edit prompts about chibi, written by `python -m helpers.world.edits`: S* is the learned concept.\n"
    return head + yaml.safe_dump(kinds, sort_keys=False, width=200, default_flow_style=None)


def main() -> None:
    """Write them where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "prompts" / "edits.yaml")
    write_text(parser.parse_args().out, as_yaml(edit_prompts()))


if __name__ == "__main__":
    main()
