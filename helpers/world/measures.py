"""What chibi's models can do, measured: each function returns numbers with a 95% interval and n."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from scipy.stats import binomtest

from helpers.config import SamplingConfig
from helpers.models import Scorer
from helpers.sample import sample
from helpers.scores import embed_images, embed_texts
from helpers.stats import Interval
from helpers.world import scene as w
from helpers.world.captions import BACKGROUND_PHRASES, PLACE_PHRASES, STYLE_OPENINGS, full_caption, shown
from helpers.world.draw import draw
from helpers.world.population import NAMES, named_characters
from helpers.world.reader import COLOURLESS, Reader, read
from helpers.world.sampling import training_scene

FRESH_SEED = 1  # scenes that no training has seen
NEAR = 60.0  # RGB distance within which a colour counts as a named character's
UNIT = "pictures"
Readings = dict[str, np.ndarray]


def share(right: np.ndarray) -> Interval:
    """Share of true values with Wilson's interval."""
    n, hits = len(right), int(np.sum(right))
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return Interval(value=hits / n, low=float(interval.low), high=float(interval.high), n=n, unit=UNIT)


def mean(values: np.ndarray) -> Interval:
    """Mean with a normal interval."""
    middle, half_width = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(value=middle, low=middle - half_width, high=middle + half_width, n=len(values), unit=UNIT)


def fresh_scenes(n: int) -> list[w.Scene]:
    """Scenes of the training population that were never trained on."""
    return [training_scene(i, FRESH_SEED) for i in range(n)]


def colour_names(colours: np.ndarray, palette: dict[str, w.RGB]) -> np.ndarray:
    """Nearest palette name of each colour [n, 3]."""
    distances = np.linalg.norm(colours[:, None, :] - np.array(list(palette.values()), float), axis=2)
    return np.array(list(palette), object)[distances.argmin(1)]


def reader_numbers(scenes: list[w.Scene], readings: Readings) -> dict[str, dict[str, Interval]]:
    """Accuracy of classes and nearest colours, and errors of places, poses and eyes, on pictures of known scenes.

    An abstention counts as wrong. The figure meant is the only or the left one; colours only on colour styles."""
    left = [min(scene.figures, key=lambda f: f.x) if scene.figures else None for scene in scenes]
    people = np.array([figure is not None for figure in left])
    coloured = np.array([scene.art_style not in COLOURLESS for scene in scenes]) & people
    figures = [figure for figure in left if figure is not None]
    accuracy = {
        key: share(readings[key] == np.array([getattr(s, key) for s in scenes], object))
        for key in ("background", "object", "art_style")
    }
    accuracy["hair_style"] = share(
        readings["hair_style_0"][people] == np.array([f.character.hair_style for f in figures], object)
    )
    in_colour = [f for f, c in zip(left, coloured, strict=True) if c]
    hair = [w.nearest(f.character.hair_colour, w.HAIR_COLOURS) for f in in_colour]
    named = np.array([distance < 45 for _, distance in hair])
    truth = np.array([name for name, _ in hair], object)
    accuracy["hair_colour"] = share((colour_names(readings["hair_colour_0"][coloured], w.HAIR_COLOURS) == truth)[named])
    eyes = [w.nearest(f.character.eye_left, w.EYE_COLOURS) for f in in_colour]
    seen = np.array(
        [distance < 45 and f.character.eye_shape == "round" for f, (_, distance) in zip(in_colour, eyes, strict=True)]
    )
    eye_names = np.array([name for name, _ in eyes], object)
    x, pose = np.array([f.x for f in figures]), np.array([f.pose for f in figures])
    error = {
        "x_px": mean(np.abs(readings["x_0"][people, 0] - x)),
        "pose_deg": mean(np.abs(readings["pose_0"][people] - pose).mean(1)),
        "eye_colour_accuracy": share(
            (colour_names(readings["eye_left_0"][coloured], w.EYE_COLOURS) == eye_names)[seen]
        ),
    }
    return {"accuracy": accuracy, "error": error}


def psnr(pictures: np.ndarray, others: np.ndarray) -> Interval:
    """Peak signal-to-noise ratio in dB, the mean over pictures (uint8)."""
    squared = ((pictures.astype(np.float64) - others) ** 2).mean((1, 2, 3))
    return mean(10 * np.log10(255**2 / squared))


def follow_prompts(per_value: int) -> dict[str, list[tuple[str, str]]]:
    """For each factor the prompts and the value each asks for."""
    opening = "an anime illustration of a character"
    asked = {
        "background": [(f"{opening} {phrase[0]}", name) for name, phrase in BACKGROUND_PHRASES.items()],
        "hair_colour": [(f"{opening} with {name} hair", name) for name in w.HAIR_COLOURS],
        "place": [(f"{opening} {phrase}", name) for name, phrase in PLACE_PHRASES.items()] * 3,
        "garment_colour": [
            (f"{opening} wearing a {name} {list(w.GARMENTS)[i % 3]}", name) for i, name in enumerate(w.COLOURS)
        ],
        "art_style": [(f"{next(iter(openings))} a character", name) for name, openings in STYLE_OPENINGS.items()] * 2,
        "object": [(f"{opening} next to a {name}", name) for name in shown("object")] * 2,
        "pose": [(f"{opening} {name}", name) for name in w.POSES] * 2,
    }
    return {factor: [pair for pair in pairs for _ in range(per_value)] for factor, pairs in asked.items()}


def read_factor(factor: str, readings: Readings) -> np.ndarray:
    """The value of a factor as prompts name it, read from each picture."""
    if factor == "hair_colour":
        return colour_names(readings["hair_colour_0"], w.HAIR_COLOURS)
    if factor == "garment_colour":
        return colour_names(readings["garment_colour_0"], w.COLOURS)
    if factor == "place":
        return np.array([w.place_of(x) for x in readings["x_0"][:, 0]], object)
    if factor == "pose":
        poses = [w.nearest_pose(tuple(pose)) for pose in readings["pose_0"]]
        return np.array([name if distance < 40 else "unusual" for name, distance in poses], object)
    return readings[factor]


Draw = Callable[[list[str], float], np.ndarray]


def drawer(pipeline: StableDiffusionPipeline, *, steps: int = 20, batch_size: int = 64, seed: int = 0) -> Draw:
    """A function from prompts and guidance to uint8 pictures [n, 64, 64, 3], image i from noise i."""

    def pictures(prompts: list[str], guidance: float) -> np.ndarray:
        config = SamplingConfig(steps=steps, guidance_scale=guidance, batch_size=batch_size, seed=seed)
        return sample(pipeline, prompts, indices=range(len(prompts)), config=config).permute(0, 2, 3, 1).numpy()

    return pictures


def follows(drawn: Draw, reader: Reader, *, per_value: int, guidance: float) -> dict[str, Interval]:
    """How often a picture shows what its prompt asks for, by factor; one figure read, the left one of two."""
    numbers = {}
    for factor, pairs in follow_prompts(per_value).items():
        readings = read(reader, drawn([prompt for prompt, _ in pairs], guidance))
        numbers[factor] = share(read_factor(factor, readings) == np.array([value for _, value in pairs], object))
    return numbers


def names_follow(drawn: Draw, reader: Reader, *, per_name: int, guidance: float) -> dict[str, Interval]:
    """How often a name alone draws its character: hair and eyes within an RGB distance of NEAR, garment, emblem."""
    people = [named_characters()[name] for name in NAMES for _ in range(per_name)]
    readings = read(reader, drawn([f"an anime illustration of {c.name}" for c in people], guidance))

    def near(key: str, attribute: str) -> np.ndarray:
        return np.linalg.norm(readings[key] - np.array([getattr(c, attribute) for c in people], float), axis=1) <= NEAR

    return {
        "hair": share(
            near("hair_colour_0", "hair_colour")
            & (readings["hair_style_0"] == np.array([c.hair_style for c in people], object))
        ),
        "eyes": share(near("eye_left_0", "eye_left") & near("eye_right_0", "eye_right")),
        "garment": share(readings["garment_0"] == np.array([c.garment for c in people], object)),
        "emblem": share(readings["emblem_0"] == np.array([c.emblem for c in people], object)),
    }


def spread_tv(drawn: Draw, reader: Reader, *, n: int, guidance: float) -> tuple[dict[str, Interval], dict[str, float]]:
    """Total variation between pictures of "an anime illustration of a character" and the training prior.

    The prior is that of illustrations of nameless characters; both sides are read by the reader. Intervals
    resample pictures. The second dict is the floor: what a sample of the prior itself would score.
    """
    drawn_readings = read(reader, drawn(["an anime illustration of a character"] * n, guidance))
    readings = read(reader, np.stack([draw(scene)[0] for scene in prior_scenes(n)]))
    g, distances, floors = w.rng(0, "spread"), {}, {}
    for factor in ("place", "pose", "hair_colour", "background"):
        a, b = (read_factor(factor, r).astype(str) for r in (drawn_readings, readings))
        low, high = np.quantile([total_variation(g.choice(a, n), b) for _ in range(200)], [0.025, 0.975])
        floors[factor] = float(np.mean([total_variation(g.choice(b, n), b) for _ in range(50)]))
        distances[factor] = Interval(value=total_variation(a, b), low=float(low), high=float(high), n=n, unit=UNIT)
    return distances, floors


def prior_scenes(n: int) -> list[w.Scene]:
    """n fresh illustrations of nameless characters: what "an anime illustration of a character" leaves open."""
    scenes = (training_scene(i, FRESH_SEED) for i in itertools.count())
    wanted = (s for s in scenes if s.figures and not s.figures[0].character.name and s.art_style == "illustration")
    return list(itertools.islice(wanted, n))


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the L1 distance between the frequencies of the values in a and in b."""
    return 0.5 * sum(abs(np.mean(a == value) - np.mean(b == value)) for value in np.union1d(a, b))


def scorer_top1(scorer: Scorer, sets: int = 10, size: int = 200) -> Interval:
    """How often the scorer puts a picture's own full caption first among 200."""
    scenes = fresh_scenes(sets * size)
    pictures = torch.from_numpy(np.stack([draw(scene)[0] for scene in scenes])).permute(0, 3, 1, 2)
    images, texts = embed_images(scorer, pictures), embed_texts(scorer, [full_caption(scene) for scene in scenes])
    hits = [
        (images[i : i + size] @ texts[i : i + size].T).argmax(1) == torch.arange(size)
        for i in range(0, len(scenes), size)
    ]
    return share(torch.cat(hits).numpy())
