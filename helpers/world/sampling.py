"""Draw scenes from the population: what training pictures show, and what instruments are trained on."""

from __future__ import annotations

import numpy as np

from helpers.world import scene as w
from helpers.world.population import (
    appearance_names,
    choose,
    choose_given,
    favours,
    goes_together,
    name_weights,
    named_characters,
    sample_character,
    skin_tone,
)
from helpers.world.scene import Character, Figure, Scene, jitter, rng


def sample_pose(g: np.random.Generator, usual: str) -> tuple[float, float, float, float]:
    """Four angles around a usual pose (deviation 6 degrees); one picture in twelve shows an unusual one."""
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


def sample_scene(g: np.random.Generator) -> Scene:
    """One training picture: 85% show one character (one in eight of them two), the rest a background or an object."""
    kind = g.random()
    if kind < 0.15:
        known = {"art_style": choose(g, w.ART_STYLES)}
        known["background"] = choose_given(g, "background", known)
        thing = choose_given(g, "object", known, {"none": 0.0}) if kind < 0.08 else "none"
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
        while not goes_together(appearance_names(other) | {"background": known["background"]}):
            other = sample_anyone(g)
        other_pose = choose_given(g, "pose", {"background": known["background"]})
        figures = (
            place_figure(g, first, known["pose"], sides[0]),
            place_figure(g, other, other_pose, sides[1]),
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
