"""Draw the concepts to learn: `python -m helpers.world.newcomers` writes data/concepts, the same every time.

A newcomer has three factors without a name inside the reach of training pictures and one outside it.
Each concept has 25 training pictures (the first five differ in pose, place and background) and 20 that only score;
further controls have 10 of each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.files import ROOT, folder_aside
from helpers.world import scene as w
from helpers.world.draw import draw
from helpers.world.population import appearance_names, goes_together, named_characters, sample_character
from helpers.world.sampling import object_place, place_figure
from helpers.world.scene import Character, Scene, rng, to_json, unnamed_colour

log = logging.getLogger(__name__)
TRAINING, FIRST, SCORE_ONLY = 25, 5, 20
FEW = 10
"""Pictures of either sort of a further control."""
DEVELOP = ("alba", "brio", "cyra", "dune", "echo", "fern")
CONFIRM = ("gale", "hex", "iris", "jade", "kite", "lark")
NAMED = ("fumi", "goro", "hana", "iko", "juno", "kimo")
"""Characters that training pictures show and captions name: what their names draw is the ceiling of a token."""
PAIRS = tuple(zip(DEVELOP + CONFIRM, (DEVELOP + CONFIRM)[1:], strict=False))[::2]
"""Two newcomers in one picture."""
NAMED_PAIRS = (("aki", "bibo"), ("chiko", "dara"), ("emi", "fumi"), ("goro", "hana"), ("iko", "juno"), ("kimo", "lulu"))
"""Two named characters in one picture."""
INSIDE = ("hair_style", "emblem", "eyes")  # beside hair and garment colour, which are always unnamed
OUTSIDE = ("odd eyes", "wide eyes", "cross", "diamond", "crown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A new character and what about it has no name or lies beyond the training pictures."""

    character: Character
    inside: tuple[str, ...]
    outside: str


def newcomer(number: int) -> Newcomer:
    """New character `number`: colours no caption names, one more unnamed factor, one held-out factor.

    What is unusual, and the garment, repeat every six numbers: those who confirm differ from those developed on in
    nothing but chance.
    """
    g = rng(11, "newcomer", number)
    kind = number % len(DEVELOP)
    third, outside, garment = INSIDE[kind % 3], OUTSIDE[kind % 5], list(w.GARMENTS)[(kind + 1) % 4]
    while True:
        character = sample_character(g, unnamed=0)
        if third == "hair_style":
            character = dataclasses.replace(character, hair_style="curly")
        if character.garment == garment and goes_together(appearance_names(character)):
            break
    character = dataclasses.replace(
        character, emblem=str(g.choice(["star", "heart", "moon", "bolt"])), eye_shape="round"
    )
    changes: dict = {"hair_colour": unnamed_colour(g, w.HAIR_COLOURS)}
    changes["garment_colour"] = unnamed_colour(g, w.COLOURS)
    while w.nearest(changes["garment_colour"], {"skin": character.skin})[1] < 110:
        changes["garment_colour"] = unnamed_colour(g, w.COLOURS)
    if third == "emblem":
        changes["emblem"] = str(g.choice(["leaf", "ring"]))
    elif third == "eyes":
        changes["eye_left"] = changes["eye_right"] = unnamed_colour(g, w.EYE_COLOURS)
    if outside == "odd eyes":
        changes["eye_right"] = unnamed_colour(g, {"left": changes.get("eye_left", character.eye_left)}, far=150)
    elif outside == "wide eyes":
        changes["eye_shape"] = "wide"
    elif outside == "crown":
        changes["accessory"] = "crown"
    else:
        changes["emblem"] = outside
    return Newcomer(
        character=dataclasses.replace(character, **changes),
        inside=("hair_colour", "garment_colour", third),
        outside=outside,
    )


def scenes_of(
    characters: list[Character],
    stream: str,
    *,
    pose: str = "",
    place: str = "",
    background: str = "",
    art_style: str = "illustration",
) -> list[Scene]:
    """45 scenes of one character (or of all of them in turn); what is given stays the same in every picture."""
    g = rng(11, f"scenes of {stream}")
    poses, backgrounds = g.permutation(list(w.POSES)), g.permutation(list(w.BACKGROUNDS))
    scenes = []
    for i in range(TRAINING + SCORE_ONLY):
        block = i // FIRST  # a new order of poses, places and backgrounds every five pictures
        this_pose = pose or str(np.roll(poses, block)[i % FIRST])
        this_place = place or list(w.PLACES)[(i + block) % 3]
        this_background = background or str(np.roll(backgrounds, 2 * block + i // 10)[i % FIRST])
        figure = place_figure(g, characters[i % len(characters)], this_pose, w.PLACES[this_place])
        figure = dataclasses.replace(
            figure, pose=tuple(float(np.clip(a + g.normal(0, 6), 0, 150)) for a in w.POSES[this_pose])
        )
        thing = str(g.choice(["ball", "box", "cat", "plant", "lamp", "star"])) if g.random() < 0.3 else "none"
        scenes.append(
            Scene(
                figures=(figure,),
                background=this_background,
                background_seed=int(g.integers(2**31)),
                object=thing,
                object_x=object_place(g, figure.x),
                art_style=art_style,
            )
        )
    return scenes


def scenes_of_pair(first: Character, second: Character) -> list[Scene]:
    """45 scenes that show both characters, sides changing."""
    scenes = []
    for i, scene in enumerate(scenes_of([first], f"{first} {second}")):
        g = rng(11, "pair", i)
        sides = (17.0, 47.0) if i % 2 == 0 else (47.0, 17.0)
        figures = (
            dataclasses.replace(scene.figures[0], x=float(sides[0] + g.normal(0, 1))),
            place_figure(g, second, str(g.choice(list(w.POSES))), sides[1]),
        )
        scenes.append(dataclasses.replace(scene, figures=figures, object="none"))
    return scenes


def concepts() -> dict[str, tuple[list[Scene], dict]]:
    """Scenes and description of every concept by name: newcomers, variants, controls."""
    everything: dict[str, tuple[list[Scene], dict]] = {}
    newcomers = {name: newcomer(i) for i, name in enumerate([*DEVELOP, *CONFIRM])}
    for name, new in newcomers.items():
        about = {
            "kind": "character",
            "set": "develop" if name in DEVELOP else "confirm",
            "class_word": "character",
            "inside_reach": list(new.inside),
            "outside_reach": [new.outside],
        }
        everything[name] = (scenes_of([new.character], name), about)
    alba, brio = newcomers["alba"].character, newcomers["brio"].character
    variant = {"kind": "variant", "set": "develop", "class_word": "character"}
    everything["alba-one-pose"] = (
        scenes_of([alba], "one pose", pose="waving", place="left"),
        variant | {"constant": ["pose", "place"]},
    )
    everything["alba-one-background"] = (
        scenes_of([alba], "one background", background="room"),
        variant | {"constant": ["background"]},
    )
    everything["alba-and-brio"] = (scenes_of_pair(alba, brio), variant | {"kind": "pair", "members": ["alba", "brio"]})
    people = list(named_characters().values())
    everything["style-watercolour"] = (
        scenes_of(people[::2], "a style", art_style="watercolour"),
        variant | {"kind": "style", "class_word": "painting"},
    )
    control = {"kind": "control", "set": "develop", "class_word": "character"}
    named = named_characters()
    everything["named-fumi"] = (scenes_of([named["fumi"]], "named"), control | {"ceiling": "fumi"})
    null = control | {"null": "five different characters"}
    strangers = [newcomer(100 + i).character for i in range(5 * len(DEVELOP))]
    everything["five-strangers"] = (scenes_of(strangers[:5], "strangers"), null)
    further: dict[str, tuple[list[Scene], dict]] = {}
    for name in NAMED[1:]:
        further[f"named-{name}"] = (scenes_of([named[name]], f"named {name}"), control | {"ceiling": name})
    for k in range(1, len(DEVELOP)):
        five = strangers[5 * k : 5 * (k + 1)]
        further[f"five-strangers-{k + 1}"] = (scenes_of(five, f"strangers {k + 1}"), null)
    for pair in PAIRS[1:]:
        people = [newcomers[name].character for name in pair]
        further["-and-".join(pair)] = (scenes_of_pair(*people), variant | {"kind": "pair", "members": list(pair)})
    for pair in NAMED_PAIRS:
        people = [named[name] for name in pair]
        further["-and-".join(pair)] = (scenes_of_pair(*people), control | {"kind": "pair", "members": list(pair)})
    return everything | {name: (few_of(scenes), about) for name, (scenes, about) in further.items()}


def few_of(scenes: list[Scene]) -> list[Scene]:
    """The first training pictures and the last ones that score."""
    return scenes[:FEW] + scenes[-FEW:]


def write_concept(folder: Path, scenes: list[Scene], about: dict) -> None:
    """NN.png, masks/NN.png, scenes.json and concept.json, written aside and renamed."""
    with folder_aside(folder) as aside:
        (aside / "masks").mkdir()
        for i, scene in enumerate(scenes):
            picture, masks = draw(scene)
            Image.fromarray(picture).save(aside / f"{i:02d}.png", optimize=True)
            Image.fromarray(masks.max(0)).save(aside / "masks" / f"{i:02d}.png", optimize=True)
        (aside / "scenes.json").write_text(json.dumps([to_json(scene) for scene in scenes], indent=1) + "\n")
        score_only = min(SCORE_ONLY, len(scenes) // 2)
        description = {
            "name": folder.name,
            **about,
            "training": len(scenes) - score_only,
            "default_training": FIRST,
            "score_only": score_only,
        }
        (aside / "concept.json").write_text(json.dumps(description, indent=2) + "\n")


def main() -> None:
    """Draw everything below the folder on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "concepts")
    folder = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name, (scenes, about) in concepts().items():
        write_concept(folder / name, scenes, about)
        log.info("%s: %d pictures", folder / name, len(scenes))


if __name__ == "__main__":
    main()
