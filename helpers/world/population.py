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
from helpers.world.scene import Character, Figure, Scene, jitter, rng, unnamed_colour

WORLD_SEED = 7  # fixes affinities, gaps and the named characters
NAMES = [
    "aki",
    "bibo",
    "chiko",
    "dara",
    "emi",
    "fumi",
    "goro",
    "hana",
    "iko",
    "juno",
    "kimo",
    "lulu",
    "miko",
    "nemo",
    "oto",
    "pipa",
    "quin",
    "riko",
    "sora",
    "taro",
    "uma",
    "vivi",
    "wako",
    "xena",
    "yuna",
    "zuzu",
    "bento",
    "coco",
    "dango",
    "eri",
    "fuyu",
    "gina",
    "hoshi",
    "ibuki",
    "jiro",
    "kumo",
    "lala",
    "momo",
    "nori",
    "oki",
    "poko",
    "rumi",
    "saki",
    "tomo",
    "uri",
    "vani",
    "waka",
    "yoko",
    "zeno",
    "ami",
    "beni",
    "chibo",
    "doro",
    "ena",
    "fifi",
    "gami",
    "hiro",
    "inu",
    "joji",
    "kena",
    "luna",
    "mako",
    "nana",
    "olli",
]
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


def sample_character(g: np.random.Generator, unnamed: float = 0.2) -> Character:
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
        choose(g, dict.fromkeys(w.BACKGROUNDS, 1)): 4.0,
        choose(g, dict.fromkeys(w.POSES, 1)): 3.0,
        choose(g, dict.fromkeys(w.PLACES, 1)): 3.0,
    }


@functools.cache
def name_weights() -> dict[str, float]:
    """How often each name is met: long-tailed, the most frequent about six times the rarest."""
    return {name: 1.0 / (8 + rank) ** 0.85 for rank, name in enumerate(NAMES)}


def sample_pose(g: np.random.Generator, usual: str) -> tuple[float, float, float, float]:
    """Four angles around a usual pose (deviation 7 degrees); one picture in twelve shows an unusual one."""
    if g.random() < 1 / 12:
        return (g.uniform(5, 145), g.uniform(5, 145), g.uniform(0, 60), g.uniform(0, 60))
    return tuple(float(np.clip(angle + g.normal(0, 6), 0, 150)) for angle in w.POSES[usual])


def place_figure(g: np.random.Generator, character: Character, pose: str, x: float) -> Figure:
    """The character in the pose near x, at a size and height as pictures have them."""
    sizes = {0.8: 0.15, 1.0: 0.7, 1.14: 0.15}
    size = list(sizes)[int(np.searchsorted(np.cumsum(list(sizes.values())), g.random()))]
    lift = g.uniform(3, 7) if pose == "jumping" else (g.uniform(2, 8) if g.random() < 0.08 else abs(g.normal(0, 0.5)))
    return Figure(
        character=character,
        pose=sample_pose(g, pose),
        x=float(x + g.normal(0, 1.6)),
        lift=float(lift),
        scale=float(np.clip(size + g.normal(0, 0.025), 0.72, 1.2)),
    )


def appearance_names(character: Character) -> dict[str, str]:
    """The values of a character that affinities know; unnamed colours are left out."""
    known = {"hair_style": character.hair_style, "garment": character.garment, "accessory": character.accessory}
    for factor, palette in (("hair_colour", w.HAIR_COLOURS), ("garment_colour", w.COLOURS)):
        name, distance = w.nearest(getattr(character, factor), palette)
        if distance < 45:
            known[factor] = name
    return known


def sample_scene(g: np.random.Generator) -> Scene:
    """One training picture: 85% show one character (one in eight of them two), the rest a background or an object."""
    kind = g.random()
    if kind < 0.15:
        known = {"art_style": choose(g, w.ART_STYLES)}
        known["background"] = choose_given(g, "background", known)
        thing = choose(g, {k: v for k, v in w.OBJECTS.items() if k != "none"}) if kind < 0.08 else "none"
        return Scene(
            figures=(),
            background=known["background"],
            background_seed=int(g.integers(2**31)),
            object=thing,
            object_x=float(g.uniform(10, 54)),
            art_style=known["art_style"],
        )
    first = sample_anyone(g)
    liked = favours(first.name) if first.name else {}
    while True:
        known = appearance_names(first)
        for factor in ("art_style", "background", "pose", "object"):
            value = choose_given(g, factor, known, liked)
            if value is None:
                break
            known[factor] = value
        else:
            break
    if g.random() < 0.125:
        sides = (w.PLACES["left"], w.PLACES["right"]) if g.random() < 0.5 else (w.PLACES["right"], w.PLACES["left"])
        other = sample_anyone(g)
        figures = (
            place_figure(g, first, known["pose"], sides[0]),
            place_figure(g, other, choose(g, w.POSE_WEIGHTS), sides[1]),
        )
        known["object"] = "none"
    else:
        place = choose(g, {name: weight * liked.get(name, 1.0) for name, weight in w.PLACE_WEIGHTS.items()})
        figures = (place_figure(g, first, known["pose"], w.PLACES[place]),)
    return Scene(
        figures=figures,
        background=known["background"],
        background_seed=int(g.integers(2**31)),
        object=known["object"],
        object_x=object_place(g, figures[0].x),
        art_style=known["art_style"],
    )


def sample_anyone(g: np.random.Generator) -> Character:
    """A named character (45%) or a nameless one."""
    return named_characters()[choose(g, name_weights())] if g.random() < 0.45 else sample_character(g)


def object_place(g: np.random.Generator, x: float) -> float:
    """Where an object stands beside a character at x, in pixels, within the picture."""
    side = 1 if x < 26 else -1 if x > 38 else (1 if g.random() < 0.5 else -1)
    return float(np.clip(x + side * g.uniform(20, 25), 8, 56))


def training_scene(index: int, seed: int = 0) -> Scene:
    """Scene number `index` of the training set."""
    return sample_scene(rng(seed, "training scene", index))


def sample_wide_scene(g: np.random.Generator) -> Scene:
    """A picture from beyond the training population, for instruments: every factor independent and
    nearly uniform, unnamed colours, odd eyes, held-out values, unusual poses and places."""

    def any_colour(palette: dict[str, w.RGB]) -> w.RGB:
        if g.random() < 0.55:
            return jitter(g, palette[str(g.choice(list(palette)))], 10)
        return tuple(int(c) for c in g.integers(20, 250, 3))

    def any_character() -> Character:
        if g.random() < 0.1:
            return named_characters()[str(g.choice(list(named_characters())))]
        eye = any_colour(w.EYE_COLOURS)
        return Character(
            hair_style=str(g.choice(list(w.HAIR_STYLES))),
            hair_colour=any_colour(w.HAIR_COLOURS),
            eye_left=eye,
            eye_right=any_colour(w.EYE_COLOURS) if g.random() < 0.3 else eye,
            eye_shape=str(g.choice(list(w.EYE_SHAPES))),
            skin=skin_tone(g.random()),
            garment=str(g.choice(list(w.GARMENTS))),
            garment_colour=any_colour(w.COLOURS),
            pattern=str(g.choice(list(w.PATTERNS))),
            emblem="none" if g.random() < 0.3 else str(g.choice(list(w.EMBLEMS))),
            accessory="none" if g.random() < 0.3 else str(g.choice(list(w.ACCESSORIES))),
        )

    def any_figure(low: float, high: float) -> Figure:
        pose = sample_pose(g, str(g.choice(list(w.POSES))))
        if g.random() < 0.35:
            pose = (g.uniform(0, 150), g.uniform(0, 150), g.uniform(0, 75), g.uniform(0, 75))
        return Figure(
            character=any_character(),
            pose=pose,
            x=float(g.uniform(low, high)),
            lift=float(max(0, g.normal(0, 3))),
            scale=float(g.uniform(0.74, 1.2)),
        )

    kind = g.random()
    if kind < 0.07:
        figures: tuple[Figure, ...] = ()
    elif kind < 0.27:
        figures = (any_figure(11, 23), any_figure(41, 53))[:: 1 if g.random() < 0.5 else -1]
    else:
        figures = (any_figure(12, 52),)
    thing = "none" if g.random() < 0.4 else str(g.choice([name for name in w.OBJECTS if name != "none"]))
    art_style = "illustration" if g.random() < 0.5 else str(g.choice(list(w.ART_STYLES)))
    return Scene(
        figures=figures,
        background=str(g.choice(list(w.BACKGROUNDS))),
        background_seed=int(g.integers(2**31)),
        object="none" if len(figures) == 2 else thing,
        object_x=object_place(g, figures[0].x) if figures else float(g.uniform(8, 56)),
        art_style=art_style,
    )


def wide_scene(index: int, seed: int = 0) -> Scene:
    """Scene number `index` of the instruments' training set."""
    return sample_wide_scene(rng(seed, "wide scene", index))
