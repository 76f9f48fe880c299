"""What chibi's models can do, measured: each function returns numbers with a 95% interval and n."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from scipy.stats import binomtest
from tqdm import tqdm

from helpers.config import SamplingConfig
from helpers.progress import BATCH_PROGRESS
from helpers.sample import sample
from helpers.scorers import Scorer
from helpers.scores import embed_images, embed_texts
from helpers.stats import Interval, jackknife
from helpers.world import scene as w
from helpers.world.captions import BACKGROUND_PHRASES, PLACE_PHRASES, STYLE_OPENINGS, full_caption, shown
from helpers.world.draw import draw
from helpers.world.population import NAMES, named_characters
from helpers.world.reader import COLOURLESS, Reader, read
from helpers.world.readings import NEAR, Readings, colour_names, read_factor
from helpers.world.sampling import training_scene

FRESH_SEED = 1  # scenes that no training has seen
UNIT = "pictures"


def share(right: np.ndarray) -> Interval:
    """Share of true values with Wilson's interval."""
    n, hits = len(right), int(np.sum(right))
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return Interval(value=hits / n, low=float(interval.low), high=float(interval.high), n=n, unit=UNIT)


def mean(values: np.ndarray) -> Interval:
    """Mean with a normal interval; abstentions (NaN) are left out, and n says how many remain."""
    values = values[~np.isnan(values)]
    middle, half_width = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return Interval(value=middle, low=middle - half_width, high=middle + half_width, n=len(values), unit=UNIT)


def fresh_scenes(n: int) -> list[w.Scene]:
    """Scenes of the training population that were never trained on."""
    return [training_scene(i, FRESH_SEED) for i in range(n)]


def reader_numbers(scenes: list[w.Scene], readings: Readings) -> dict[str, dict[str, Interval]]:
    """Accuracy of classes and nearest colours, and errors of places, poses and eyes, on pictures of known scenes.

    The figure meant is the only or the left one. Colours only on colour styles, and only colours that have a name;
    eye colours of both eyes, whatever their shape. An abstention counts as wrong; errors in pixels and degrees are
    over what was read, "read" says of how many figures that was.
    """
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
    x, pose = np.array([f.x for f in figures]), np.array([f.pose for f in figures])
    x_error = np.abs(readings["x_0"][people, 0] - x)
    error = {
        "x_px": mean(x_error),
        "pose_deg": mean(np.abs(readings["pose_0"][people] - pose).mean(1)),
        "read": share(~np.isnan(x_error)),
        "eye_colour_accuracy": share(eyes_right(readings, coloured, in_colour)),
    }
    return {"accuracy": accuracy, "error": error}


def eyes_right(readings: Readings, coloured: np.ndarray, figures: list[w.Figure]) -> np.ndarray:
    """Whether the nearest name of each eye's colour is right, left eyes then right eyes; eyes without a named colour
    are left out. `coloured` [n] says which pictures show the figures."""
    right = []
    for side in ("left", "right"):
        named = [w.nearest(getattr(f.character, f"eye_{side}"), w.EYE_COLOURS) for f in figures]
        read_as = colour_names(readings[f"eye_{side}_0"][coloured], w.EYE_COLOURS)
        right += [said == name for said, (name, distance) in zip(read_as, named, strict=True) if distance < 45]
    return np.array(right)


def psnr(pictures: np.ndarray, others: np.ndarray) -> Interval:
    """Peak signal-to-noise ratio in dB, the mean over pictures (uint8)."""
    squared = ((pictures.astype(np.float64) - others) ** 2).mean((1, 2, 3))
    return mean(10 * np.log10(255**2 / squared))


def follow_prompts(per_value: int) -> dict[str, list[tuple[str, str]]]:
    """For each factor the prompts and the value each asks for."""
    opening, garments = "an anime illustration of a character", list(w.GARMENTS)
    asked = {
        "background": [(f"{opening} {phrase[0]}", name) for name, phrase in BACKGROUND_PHRASES.items()],
        "hair_colour": [(f"{opening} with {name} hair", name) for name in w.HAIR_COLOURS],
        "place": [(f"{opening} {phrase}", name) for name, phrase in PLACE_PHRASES.items()] * 3,
        "garment_colour": [
            (f"{opening} wearing {name} {garments[i % len(garments)]}", name) for i, name in enumerate(w.COLOURS)
        ],
        "art_style": [(f"{next(iter(openings))} a character", name) for name, openings in STYLE_OPENINGS.items()] * 2,
        "object": [(f"{opening} next to a {name}", name) for name in shown("object")] * 2,
        "pose": [(f"{opening} {name}", name) for name in w.POSES] * 2,
    }
    return {factor: [pair for pair in pairs for _ in range(per_value)] for factor, pairs in asked.items()}


Draw = Callable[[list[str], float], np.ndarray]


def drawer(pipeline: StableDiffusionPipeline, *, steps: int = 20, batch_size: int = 64, seed: int = 0) -> Draw:
    """A function from prompts and guidance to uint8 pictures [n, 64, 64, 3], image i from noise i."""

    def pictures(prompts: list[str], guidance: float) -> np.ndarray:
        config = SamplingConfig(steps=steps, guidance_scale=guidance, batch_size=batch_size, seed=seed)
        with tqdm(total=len(prompts), desc="drawing", unit="image", **BATCH_PROGRESS) as bar:
            images = sample(pipeline, prompts, indices=range(len(prompts)), config=config, on_batch=bar.update)
        return images.permute(0, 2, 3, 1).numpy()

    return pictures


def followed(drawn: Draw, reader: Reader, *, per_value: int, guidance: float) -> pd.DataFrame:
    """Whether each picture shows what its prompt asks for: columns factor, prompt, value and right; of two figures the
    left one is read."""
    asked = [(factor, *pair) for factor, pairs in follow_prompts(per_value).items() for pair in pairs]
    table = pd.DataFrame(asked, columns=["factor", "prompt", "value"])
    readings = read(reader, drawn(list(table["prompt"]), guidance))
    table["right"] = False
    for factor, rows in table.groupby("factor").groups.items():
        read_as = read_factor(factor, {key: values[rows] for key, values in readings.items()})
        table.loc[rows, "right"] = read_as == table.loc[rows, "value"].to_numpy(object)
    return table


def follows(pictures: pd.DataFrame) -> dict[str, Interval]:
    """Share of pictures that show what was asked for, by factor."""
    return {factor: share(rows.to_numpy()) for factor, rows in pictures.groupby("factor", sort=False)["right"]}


def names_follow(drawn: Draw, reader: Reader, *, per_name: int, guidance: float) -> dict[str, Interval]:
    """How often a name alone draws its character: style and colour of the hair, colour of both eyes, kind and colour of
    the garment, emblem; colours within an RGB distance of NEAR.

    Intervals are over names, since a name that was not learned fails in all its pictures. Emblems only of names
    that have one.
    """
    people = [named_characters()[name] for name in NAMES for _ in range(per_name)]
    readings = read(reader, drawn([f"an anime illustration of {c.name}" for c in people], guidance))

    def near(key: str, attribute: str) -> np.ndarray:
        return np.linalg.norm(readings[key] - np.array([getattr(c, attribute) for c in people], float), axis=1) <= NEAR

    def same(factor: str) -> np.ndarray:
        return readings[f"{factor}_0"] == np.array([getattr(c, factor) for c in people], object)

    def over_names(right: np.ndarray) -> Interval:
        shares = right.reshape(-1, per_name).mean(1)
        return jackknife(lambda chosen: float(shares[chosen].mean()), n=len(shares), unit="names")

    wears_emblem = np.array([c.emblem != "none" for c in people])
    return {
        "hair": over_names(near("hair_colour_0", "hair_colour") & same("hair_style")),
        "eyes": over_names(near("eye_left_0", "eye_left") & near("eye_right_0", "eye_right")),
        "garment": over_names(near("garment_colour_0", "garment_colour") & same("garment")),
        "emblem": over_names(same("emblem")[wears_emblem]),
    }


def spread_tv(drawn: Draw, reader: Reader, *, n: int, guidance: float, prior: int = 4096) -> dict[str, Interval]:
    """Total variation between n pictures of "an anime illustration of a character" and the training prior.

    The prior is that of illustrations of nameless characters, `prior` drawings of it; both sides are read by the
    reader. (Captions that name nothing else are written about any picture alike.) The value is too high in small
    samples, where even a perfect model does not score 0, so the interval is the basic bootstrap of both samples, which
    takes that off, stretched to hold the value.
    """
    generated = read(reader, drawn(["an anime illustration of a character"] * n, guidance))
    real = read(reader, np.stack([draw(scene)[0] for scene in prior_scenes(prior)]))
    g, distances = w.rng(0, "spread"), {}
    for factor in ("place", "pose", "hair_colour", "background"):
        a, b = (read_factor(factor, readings).astype(str) for readings in (generated, real))
        value = total_variation(a, b)
        again = [total_variation(g.choice(a, len(a)), g.choice(b, len(b))) for _ in range(300)]
        low, high = 2 * value - np.quantile(again, [0.975, 0.025])
        distances[factor] = Interval(
            value=value, low=max(0.0, min(low, value)), high=max(float(high), value), n=n, unit=UNIT
        )
    return distances


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
