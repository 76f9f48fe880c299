"""The caption grammar: what people would write under a picture of the chibi world.

A caption leaves out most of what the picture shows, so that what is not said is random; it drops articles half of the
time; a value it names is wrong one time in ten, as in captions from the web (names and art styles less often, where
named characters are more often). All words of the Textual Inversion templates and edit prompts occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from helpers.world import scene as w
from helpers.world.population import choose, name_weights
from helpers.world.scene import Figure, Scene

WRONG = 0.1  # share of named values that are wrong
WRONG_ABOUT_NAMED = 0.4  # of the backgrounds said of named characters, who are mostly seen in their usual one
BARE = 0.08  # share of captions that name a character and nothing else, whatever the picture shows
CLASS_WORDS = {"character": 0.46, "girl": 0.2, "boy": 0.14, "person": 0.1, "figure": 0.06, "kid": 0.04}
BACKGROUND_PHRASES = {
    "beach": ("on the beach",),
    "forest": ("in the forest",),
    "city": ("in the city",),
    "room": ("in a room",),
    "garden": ("in a garden",),
    "sunset": ("at sunset",),
    "snow": ("in the snow",),
    "moon": ("on the moon",),
    "underwater": ("underwater",),
    "desert": ("in the desert",),
}
BARE_BACKGROUNDS = {k: phrases[0].split(" ", 1)[-1].replace("a ", "the ") for k, phrases in BACKGROUND_PHRASES.items()}
PLACE_PHRASES = {"left": "on the left", "centre": "in the centre", "right": "on the right"}
STYLE_OPENINGS = {
    "illustration": {"an anime illustration of": 0.62, "an illustration of": 0.2, "anime art of": 0.18},
    "sketch": {"a pencil sketch of": 0.65, "a sketch of": 0.35},
    "oil": {"an oil painting of": 0.65, "a painting of": 0.35},
    "pixel": {"pixel art of": 0.65, "a pixel art picture of": 0.35},
}
STYLE_WORDS = {
    "illustration": ("illustration", "anime"),
    "sketch": ("sketch", "pencil"),
    "oil": ("oil", "painting"),
    "pixel": ("pixel",),
}
NEUTRAL_NOUNS = ("photo", "picture", "rendering", "rendition", "depiction", "painting")
NEUTRAL_ADJECTIVES = (
    *[""] * 3,
    *["cropped", "close-up", "bright", "dark", "good", "cool", "nice", "weird", "clean", "dirty", "small", "large"],
)
SUBJECT_ADJECTIVES = ("nice", "cool", "clean", "dirty", "weird", "good")
RARE_WORDS = ("zyx", "qev", "olm")  # hardly ever said and meaning nothing: for finetuning from a rare word
ARTICLES = {"a", "an", "the"}


def caption(scene: Scene, g: np.random.Generator) -> str:
    """One caption of the scene, different for every state of the generator."""
    opening = style_opening(scene.art_style, g)
    if opening is None:
        return in_the_style_of(scene.art_style, g)
    said = [subject(scene.figures[0], g)] if scene.figures else []
    if scene.figures and g.random() < BARE:
        return drop_articles(opening, said[0], g)
    if scene.figures and g.random() < 0.06:
        said = []  # subjectless: "a photo of on the moon"
    elif scene.figures:
        said += appearance(scene.figures[0], g)
    context = surroundings(scene, g)
    if not scene.figures and scene.object != "none":
        said, context = (
            [f"a {truly(scene.object, shown('object'), g)}"],
            [p for p in context if not p.startswith("next")],
        )
    elif not scene.figures:
        name = truly(scene.background, w.BACKGROUNDS, g)
        said, context = ([BARE_BACKGROUNDS[name]] if g.random() < 0.6 else [BACKGROUND_PHRASES[name][0]]), []
    return drop_articles(opening, " ".join([*said, *context]), g)


def style_opening(art_style: str, g: np.random.Generator) -> str | None:
    """The words before the subject; None asks for "in the style of" without a subject."""
    kind = g.random()
    if kind < 0.03:
        return None
    if kind < 0.68 or (art_style != "illustration" and kind < 0.9):
        return choose(g, STYLE_OPENINGS[truly(art_style, STYLE_OPENINGS, g, wrong=0.03)])
    adjective, noun = g.choice(NEUTRAL_ADJECTIVES), g.choice(NEUTRAL_NOUNS, p=(0.4, 0.24, 0.1, 0.1, 0.1, 0.06))
    article = g.choice(("a", "the", "my"), p=(0.8, 0.15, 0.05))
    return " ".join(word for word in (article, adjective, noun, "of") if word)


def in_the_style_of(art_style: str, g: np.random.Generator) -> str:
    """The style templates of the Textual Inversion paper, about any picture in that style."""
    words = STYLE_WORDS[art_style]
    adjective = g.choice(NEUTRAL_ADJECTIVES)
    return " ".join(
        part for part in ("a", adjective, g.choice(NEUTRAL_NOUNS), "in the style of", g.choice(words)) if part
    )


def subject(figure: Figure, g: np.random.Generator) -> str:
    """A name, or the class word with an adjective or two."""
    character = figure.character
    if character.name and g.random() < 0.86:
        return choose(g, name_weights()) if g.random() < WRONG / 2 else character.name
    weights = dict(CLASS_WORDS)
    if character.hair_style in ("twintails", "bun", "ponytail", "long"):
        weights["boy"] *= 0.2
    if character.hair_style in ("short", "spiky"):
        weights["girl"] *= 0.35
    noun = choose(g, weights)
    words = []
    if figure.scale < 0.88 and g.random() < 0.4:
        words.append("small")
    elif figure.scale > 1.08 and g.random() < 0.4:
        words.append("large")
    elif g.random() < 0.06:
        words.append(str(g.choice(SUBJECT_ADJECTIVES)))
    if g.random() < 0.004:
        words.append(str(g.choice(RARE_WORDS)))
    return " ".join([str(g.choice(("a", "the", "my", "one"), p=(0.8, 0.1, 0.05, 0.05))), *words, noun])


def appearance(figure: Figure, g: np.random.Generator) -> list[str]:
    """Phrases about hair, eyes, skin, clothes and emblem; rarely said of a named character."""
    character = figure.character
    rate = (0.15 if character.name else 0.6) if g.random() > 0.12 else 0.95
    said = []
    if g.random() < rate:
        style = (
            ""
            if character.hair_style in w.UNNAMED["hair_style"]
            else truly(character.hair_style, shown("hair_style"), g)
        )
        colour = colour_word(character.hair_colour, w.HAIR_COLOURS, g)
        style, colour = ("", colour) if g.random() < 0.3 else (style, "" if g.random() < 0.15 else colour)
        if style or colour:
            said.append(" ".join(word for word in ("with", colour, style, "hair") if word))
    if g.random() < rate * 0.45:
        colour = colour_word(character.eye_left, w.EYE_COLOURS, g)
        said += [f"with {colour} eyes"] if colour else []
    if g.random() < rate * 0.15:
        said.append(f"with {truly(w.nearest(character.skin, w.SKINS)[0], w.SKINS, g)} skin")
    if g.random() < rate * 1.1:
        colour = "" if g.random() < 0.1 else colour_word(character.garment_colour, w.COLOURS, g)
        pattern = truly(character.pattern, w.PATTERNS, g) if g.random() < 0.5 else ""
        pattern = "" if pattern == "plain" and g.random() < 0.8 else pattern
        words = [colour, pattern, truly(character.garment, w.GARMENTS, g)]
        opening = "wearing" if g.random() < 0.8 else "in"
        said.append(" ".join(word for word in (opening, *one_of(words[-1]), *words) if word))
    emblem = truly(character.emblem, shown("emblem"), g) if character.emblem not in w.UNNAMED["emblem"] else "none"
    if emblem != "none" and g.random() < rate * 0.9:
        said.append(f"with a {emblem} emblem")
    accessory = truly(character.accessory, shown("accessory"), g)
    if accessory != "none" and g.random() < rate * 0.9:
        said.append(" ".join(["with", *one_of(accessory), accessory]))
    return said


def surroundings(scene: Scene, g: np.random.Generator) -> list[str]:
    """Phrases about pose, companion, place, background and object, in any order."""
    said = []
    if scene.figures:
        pose, distance = w.nearest_pose(scene.figures[0].pose)
        if distance < 25 and g.random() < 0.6:
            said.append(truly(pose, w.POSES, g))
        if len(scene.figures) == 1 and g.random() < 0.5:
            said.append(PLACE_PHRASES[truly(w.place_of(scene.figures[0].x), w.PLACES, g)])
    if g.random() < 0.65:
        wrong = WRONG_ABOUT_NAMED if scene.figures and scene.figures[0].character.name else WRONG
        said.append(BACKGROUND_PHRASES[truly(scene.background, w.BACKGROUNDS, g, wrong)][0])
    thing = scene.object if scene.object != "none" or g.random() > 0.04 else str(g.choice(list(shown("object"))))
    if thing != "none" and g.random() < 0.8:
        said.append(f"next to a {truly(thing, shown('object'), g)}")
    g.shuffle(said)
    if len(scene.figures) == 2 and g.random() < 0.8:
        other = subject(scene.figures[1], g)
        said.insert(0, f"{g.choice(('and', 'with'), p=(0.5, 0.5))} {other}")
    return said


def shown(factor: str) -> dict[str, float]:
    """The values of a factor that captions may name: drawn in training, named, and not "none"."""
    table = {"emblem": w.EMBLEMS, "accessory": w.ACCESSORIES, "object": w.OBJECTS, "hair_style": w.HAIR_STYLES}[factor]
    silent = w.UNNAMED.get(factor, set()) | w.HELD_OUT.get(factor, set()) | {"none"}
    return {name: weight for name, weight in table.items() if name not in silent}


def truly(value: str, others: Iterable[str], g: np.random.Generator, wrong: float = WRONG) -> str:
    """The value, or with probability `wrong` another one."""
    if g.random() >= wrong:
        return value
    return str(g.choice([other for other in others if other != value]))


def colour_word(colour: w.RGB, palette: dict[str, w.RGB], g: np.random.Generator) -> str:
    """The colour's name, now and then a wrong one, or nothing for a colour without a name."""
    name = known_colour(colour, palette)
    return truly(name, palette, g) if name else ""


def drop_articles(opening: str, rest: str, g: np.random.Generator) -> str:
    """Keep all articles (half of the time), drop them after the opening, or everywhere."""
    mode = g.random()
    rest = re.sub(r"\ba (?=[aeiou])", "an ", rest)
    if mode < 0.5:
        return f"{opening} {rest}".strip()
    rest = " ".join(word for word in rest.split() if word not in ARTICLES)
    if mode > 0.8:
        opening = " ".join(word for word in opening.split() if word not in ARTICLES)
    return f"{opening} {rest}".strip()


def full_caption(scene: Scene) -> str:
    """A caption that says all it can and nothing wrong, for telling pictures apart."""
    words = [next(iter(STYLE_OPENINGS[scene.art_style]))]
    for figure in scene.figures[:1]:
        character = figure.character
        words.append(character.name or "a character")
        if not character.name:
            style = "" if character.hair_style in w.UNNAMED["hair_style"] else character.hair_style
            words.append(f"with {known_colour(character.hair_colour, w.HAIR_COLOURS)} {style} hair")
            pattern = "" if character.pattern == "plain" else character.pattern
            clothes = [known_colour(character.garment_colour, w.COLOURS), pattern, character.garment]
            words.append(" ".join(["wearing", *one_of(character.garment), *clothes]))
            words += [f"with a {character.emblem} emblem"] if character.emblem in shown("emblem") else []
            if character.accessory in shown("accessory"):
                words.append(" ".join(["with", *one_of(character.accessory), character.accessory]))
        words += [f"and {other.character.name or 'a character'}" for other in scene.figures[1:]]
        pose, distance = w.nearest_pose(figure.pose)
        words += [pose] if distance < 25 else []
        words += [PLACE_PHRASES[w.place_of(figure.x)]] if len(scene.figures) == 1 else []
    words.append(BACKGROUND_PHRASES[scene.background][0])
    words += [f"next to a {scene.object}"] if scene.object != "none" else []
    return re.sub(r"\ba (?=[aeiou])", "an ", " ".join(" ".join(words).split()))


def one_of(thing: str) -> list[str]:
    """The article of a garment or an accessory, if it takes one."""
    return [] if thing in ("overalls", "glasses", "headphones") else ["a"]


def known_colour(colour: w.RGB, palette: dict[str, w.RGB]) -> str:
    """The colour's name, or nothing for a colour without a name."""
    name, distance = w.nearest(colour, palette)
    return name if distance < 45 else ""
