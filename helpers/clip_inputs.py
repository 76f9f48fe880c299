"""Report 01: what it is measured on, and how much of it a profile takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import clouds, scorers
from helpers.clouds import Clouds, Pairs
from helpers.config import InputError
from helpers.hashing import tensor_hash
from helpers.models import CHIBI, EMBEDDED
from helpers.workbench import Workbench
from helpers.world.population import HELD_OUT_NAMES, NAMES
from helpers.world.reader import Reader, load_reader


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything a profile takes."""

    captions: int
    """Texts, and pictures, of the clouds."""
    texts: int
    """Captions, the first ones, whose hidden states are kept."""
    words: int
    """In the placeholder's place."""
    flow_pairs: int
    """Pairs of names whose states are patched; the geometry of paths is of these too."""
    flow_images: int
    """Pictures of each patch."""
    path_pairs: int
    """Pairs of names, the first ones, whose paths are drawn."""
    path_images: int
    """Pictures of each of their points."""
    times: int
    """Points of a path, its ends included."""
    concepts: int
    """Whose tokens are learned."""
    steps: int
    """Updates of each token."""
    token_images: int
    """Pictures of each point between class word and token."""
    solver_steps: int
    batch: int
    """Pictures drawn at once."""


SIZES = {
    "smoke": Size(
        captions=40,
        texts=40,
        words=30,
        flow_pairs=2,
        flow_images=2,
        path_pairs=2,
        path_images=1,
        times=3,
        concepts=1,
        steps=5,
        token_images=2,
        solver_steps=2,
        batch=16,
    ),
    "quick": Size(
        captions=500,
        texts=500,
        words=500,
        flow_pairs=8,
        flow_images=3,
        path_pairs=4,
        path_images=1,
        times=5,
        concepts=1,
        steps=250,
        token_images=2,
        solver_steps=10,
        batch=16,
    ),
    "full": Size(
        captions=2000,
        texts=600,
        words=500,
        flow_pairs=30,
        flow_images=8,
        path_pairs=24,
        path_images=2,
        times=9,
        concepts=12,
        steps=1000,
        token_images=4,
        solver_steps=20,
        batch=32,
    ),
}


def load_clouds(
    bench: Workbench | None,
    *,
    scorer: str,
    captions: str,
    images: str,
    features: str,
    untrained: str,
    count: int,
    seed: int,
) -> tuple[dict[str, Clouds], Pairs | None]:
    """Clouds by "trained" and, where there are such, "untrained"; and what they are of, where a model saw it.

    Args:
        bench: the models, where no features are given.
        scorer: the source of its scorer.
        captions: see clouds.load_pairs.
        images: see clouds.load_pairs.
        features: a file, or nothing.
        untrained: a file beside it, or nothing.
        count: how many captions and pictures a model sees.
        seed: of the untrained model's weights.

    Raises:
        InputError: features and untrained do not go together, or one of the files cannot be used.
    """
    if untrained and not features:
        raise InputError(f"untrained is {untrained!r} without features: name both, or neither.")
    if bench is None:
        both = {"trained": clouds.clouds_in(features)}
        both |= {"untrained": clouds.clouds_in(untrained)} if untrained else {}
        shapes = [tuple(one.images.shape) for one in both.values()]
        if len(set(shapes)) > 1:
            raise InputError(f"features has shape {shapes[0]} a side, untrained {shapes[1]}: give the same pairs.")
        return both, None
    judge = bench.instruments.scorer
    pairs = clouds.load_pairs(captions, images, count=count, size=judge.size)
    models = {"trained": judge, "untrained": scorers.untrained_like(judge, scorer, seed=seed)}
    scale = float(judge.model.logit_scale.exp())
    return {name: clouds.clouds_of(model, pairs, scale=scale) for name, model in models.items()}, pairs


def facts_of(bench: Workbench | None, both: Mapping[str, Clouds], given: Mapping[str, str]) -> dict[str, Any]:
    """What a report was made from, for its provenance: sources by name, and hashes of all that was measured."""
    vectors = {name: tensor_hash([("images", one.images), ("texts", one.texts)]) for name, one in both.items()}
    if bench is None:
        models = dict.fromkeys(("model", "scorer", "concept", "captions", "images"), "none")
        return {**given, **models, "vectors": vectors}
    names = {"concept": bench.concept.name, "device": str(bench.pipeline.device)}
    return {**given, **names, "vectors": vectors, "hashes": bench.fingerprints}


def names_of(model: str) -> list[str]:
    """Names that a model knows beside the nouns of captions."""
    return [*NAMES, *HELD_OUT_NAMES] if model in EMBEDDED else []


def reader_of(model: str, bench: Workbench | None) -> Reader | None:
    """Chibi's reader, for chibi."""
    return load_reader(CHIBI / "reader", str(bench.pipeline.device)) if bench and model in EMBEDDED else None
