"""Who lives in the chibi world and what its pictures show: long-tailed, correlated, with gaps.

Real models are entangled because their training pictures are. Here every pair of factors in PAIRS
has an affinity table; about 15% of its value pairs never occur in training (`held_out_pairs`).
Named characters keep one appearance and favour some places, poses and backgrounds.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from helpers.world import scene as w
from helpers.world.scene import Character, jitter, rng, unnamed_colour

WORLD_SEED = 7  # fixes affinities, gaps and the named characters
NAMES = """
    aki bibo chiko dara emi fumi goro hana iko juno kimo lulu miko nemo oto pipa quin riko sora taro uma vivi wako
    xena yuna zuzu bento coco dango eri fuyu gina hoshi ibuki jiro kumo lala momo nori oki poko rumi saki tomo uri
    vani waka yoko zeno ami beni chibo doro ena fifi gami hiro inu joji kena luna mako nana olli
""".split()  # noqa: SIM905 - one a line, they would fill a page
HELD_OUT_NAMES = [
    "peki",
    "rano",
    "suki",
    "tavi",
    "umeko",
    "vero",
    "wino",
    "yari",
]  # appearances that are never drawn in training
PAIRS = (
    ("hair_style", "garment"),
    ("hair_style", "accessory"),
    ("hair_colour", "garment_colour"),
    ("garment", "background"),
    ("hair_colour", "background"),
    ("art_style", "background"),
    ("background", "pose"),
    ("background", "object"),
    ("object", "pose"),
    ("art_style", "object"),
)
MARGINALS: Mapping[str, Mapping[str, float]] = {
    "hair_style": w.HAIR_STYLES,
    "hair_colour": dict(zip(w.HAIR_COLOURS, (0.15, 0.17, 0.1, 0.09, 0.17, 0.06, 0.09, 0.05, 0.08, 0.04), strict=True)),
    "garment": w.GARMENTS,
    "garment_colour": dict(zip(w.COLOURS, (0.08, 0.07, 0.17, 0.08, 0.1, 0.11, 0.16, 0.07, 0.09, 0.07), strict=True)),
    "accessory": w.ACCESSORIES,
    "background": w.BACKGROUNDS,
    "pose": w.POSE_WEIGHTS,
    "object": w.OBJECTS,
    "art_style": w.ART_STYLES,
}


@functools.cache
def affinities() -> dict[tuple[str, str], np.ndarray]:
    """A table a pair of factors: log-normal affinities, 0 where the pair of values never occurs."""
    tables = {}
    for number, pair in enumerate(PAIRS):
        g = rng(WORLD_SEED, "affinity", number)
        values = [list(MARGINALS[factor]) for factor in pair]
        table = np.exp(g.normal(0, 0.5, (len(values[0]), len(values[1]))))
        free = [
            (i, j)
            for i, a in enumerate(values[0])
            for j, b in enumerate(values[1])
            if "none" not in (a, b) and a != "illustration"
        ]
        budget = round(0.15 * table.size)
        for k in g.permutation(len(free)):
            i, j = free[k]
            crowded = (table[i] == 0).sum() >= 0.3 * table.shape[1] or (table[:, j] == 0).sum() >= 0.3 * table.shape[0]
            if budget and not crowded:
                table[i, j], budget = 0.0, budget - 1
        tables[pair] = table
    return tables


@functools.cache
def held_out_pairs() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The value pairs that never occur together in training, for each pair of factors."""
    names = {pair: (list(MARGINALS[pair[0]]), list(MARGINALS[pair[1]])) for pair in PAIRS}
    return {
        pair: [(names[pair][0][i], names[pair][1][j]) for i, j in np.argwhere(table == 0)]
        for pair, table in affinities().items()
    }


def choose(g: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One key, with probability proportional to its weight."""
    values = np.fromiter(weights.values(), float)
    return list(weights)[int(np.searchsorted(np.cumsum(values), g.random() * values.sum(), side="right"))]


def choose_given(
    g: np.random.Generator, factor: str, known: Mapping[str, str], favours: Mapping[str, float] | None = None
) -> str | None:
    """A value of a factor that goes with the values already chosen; None where nothing does."""
    weights = np.fromiter(MARGINALS[factor].values(), float)
    for (first, second), table in affinities().items():
        if second == factor and first in known:
            weights = weights * table[list(MARGINALS[first]).index(known[first])]
        elif first == factor and second in known:
            weights = weights * table[:, list(MARGINALS[second]).index(known[second])]
    names = list(MARGINALS[factor])
    for name, factor_of in (favours or {}).items():
        if name in names:
            weights[names.index(name)] *= factor_of
    if weights.sum() == 0:
        return None
    return names[int(np.searchsorted(np.cumsum(weights), g.random() * weights.sum(), side="right"))]


def goes_together(known: Mapping[str, str]) -> bool:
    """Whether no two of the values, by factor, are a pair that never occurs."""
    gaps = held_out_pairs()
    return not any((known.get(first), known.get(second)) in gaps[first, second] for first, second in PAIRS)


def sample_character(g: np.random.Generator, unnamed: float = 0.3) -> Character:
    """A character of the training population; a share `unnamed` of colours has no name."""
    while True:
        known: dict[str, str] = {}
        for factor in ("hair_style", "garment", "hair_colour", "garment_colour", "accessory"):
            value = choose_given(g, factor, known)
            if value is None:
                break
            known[factor] = value
        if len(known) == 5:
            break
    hair = (
        unnamed_colour(g, w.HAIR_COLOURS) if g.random() < unnamed else jitter(g, w.HAIR_COLOURS[known["hair_colour"]])
    )
    cloth = unnamed_colour(g, w.COLOURS) if g.random() < unnamed else jitter(g, w.COLOURS[known["garment_colour"]])
    eye = (
        unnamed_colour(g, w.EYE_COLOURS)
        if g.random() < unnamed / 2
        else jitter(g, w.EYE_COLOURS[choose(g, dict.fromkeys(w.EYE_COLOURS, 1))])
    )
    t = g.beta(1.2, 1.8)
    return Character(
        hair_style=known["hair_style"],
        hair_colour=hair,
        eye_left=eye,
        eye_right=eye,
        eye_shape=choose(g, w.EYE_SHAPES),
        skin=skin_tone(t),
        garment=known["garment"],
        garment_colour=cloth,
        pattern=choose(g, w.PATTERNS),
        emblem=choose(g, w.EMBLEMS),
        accessory=known["accessory"],
    )


def skin_tone(t: float) -> w.RGB:
    """A skin tone between pale (0), tan (1/2) and dark (1)."""
    tones = np.array(list(w.SKINS.values()), float)
    return tuple(round(float(np.interp(t, (0, 0.5, 1), tones[:, c]))) for c in range(3))


@functools.cache
def named_characters() -> dict[str, Character]:
    """The named characters of the world, held-out appearances last."""
    everyone = {}
    for number, name in enumerate([*NAMES, *HELD_OUT_NAMES]):
        g = rng(WORLD_SEED, "named character", number)
        everyone[name] = dataclasses.replace(sample_character(g, unnamed=0.15), name=name)
    return everyone


@functools.cache
def favours(name: str) -> dict[str, float]:
    """What a named character is pictured with more often than others: one background, one pose, one place."""
    g = rng(WORLD_SEED, f"favours of {name}")
    return {
        choose(g, dict.fromkeys(w.BACKGROUNDS, 1)): 12.0,
        choose(g, dict.fromkeys(w.POSES, 1)): 8.0,
        choose(g, dict.fromkeys(w.PLACES, 1)): 8.0,
    }


@functools.cache
def name_weights() -> dict[str, float]:
    """How often each name is met: long-tailed, the most frequent about six times the rarest."""
    return {name: 1.0 / (8 + rank) ** 0.85 for rank, name in enumerate(NAMES)}


def appearance_names(character: Character) -> dict[str, str]:
    """The values of a character that affinities know; unnamed colours are left out."""
    known = {"hair_style": character.hair_style, "garment": character.garment, "accessory": character.accessory}
    for factor, palette in (("hair_colour", w.HAIR_COLOURS), ("garment_colour", w.COLOURS)):
        name, distance = w.nearest(getattr(character, factor), palette)
        if distance < 45:
            known[factor] = name
    return known
