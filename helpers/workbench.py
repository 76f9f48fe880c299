"""What a run works with: models, pictures and instruments, loaded once a process, and the hash they give a run."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from diffusers import StableDiffusionPipeline

from helpers import prompts as words
from helpers.concepts import Concept, load_concept
from helpers.config import content_hash, tensor_hash
from helpers.evaluation import Instruments
from helpers.grid import EvaluationConfig, RunConfig
from helpers.models import CHIBI, check_scorer, image_size, load_pipeline, load_scorer, pipeline_fingerprint
from helpers.prompts import EditPrompt
from helpers.world.chibi import chibi_instruments


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Models and a concept, loaded once a process."""

    pipeline: StableDiffusionPipeline
    concept: Concept
    instruments: Instruments
    fingerprints: tuple[str, ...]
    """Of the pipeline, the training pictures, what only scores (pictures, identity, class word), the scorer and the
    reader: what a run's hash covers beside its configuration."""


@functools.lru_cache(maxsize=2)
def _models(model: str, device: str) -> tuple[StableDiffusionPipeline, str]:
    pipeline = load_pipeline(model, device=device)
    return pipeline, pipeline_fingerprint(pipeline)


@functools.lru_cache(maxsize=8)
def load_workbench(model: str, scorer: str, concept: str, device: str = "auto") -> Workbench:
    """Load what a run names; where pictures of chibi are drawn they are read as well.

    Raises:
        InputError: one of them cannot be loaded, or the scorer does not fit the model.
    """
    pipeline, drawn_by = _models(model, device)
    check_scorer(pipeline, scorer)
    judge = load_scorer(scorer, device=device)
    pictures = load_concept(concept, size=image_size(pipeline))
    instruments, read_by = Instruments(scorer=judge), ""
    if model == "chibi" and pictures.scenes:
        instruments, read_by = chibi_instruments(judge, pictures, CHIBI / "reader", str(pipeline.device))
    return Workbench(
        pipeline=pipeline,
        concept=pictures,
        instruments=instruments,
        fingerprints=(drawn_by, pictures.fingerprint, scored_with(pictures), judge.fingerprint, read_by),
    )


def scored_with(concept: Concept) -> str:
    """Hash of what scores and metrics take from a concept beside its training pictures."""
    seen = [("pictures", concept.score_images)]
    seen += [] if concept.score_masks is None else [("masks", concept.score_masks)]
    return content_hash(tensor_hash(seen), concept.scenes, concept.class_word)


def workbench_of(config: RunConfig, device: str = "auto") -> Workbench:
    """`load_workbench` of what a run names."""
    return load_workbench(config.model, config.scorer, config.concept, device)


def prompts_of(evaluation: EvaluationConfig) -> tuple[tuple[EditPrompt, ...], tuple[int, ...]]:
    """The prompts that are drawn, the photo first, and how many pictures of each."""
    edits = words.load_edit_prompts(words.edit_file(evaluation.edits))
    edits = words.few_of_each_kind(edits, evaluation.per_kind) if evaluation.per_kind else edits
    photo = EditPrompt(kind="photo", text=evaluation.photo)
    return (photo, *edits), (evaluation.photos, *[evaluation.edited] * len(edits))


def run_hash(config: RunConfig, bench: Workbench) -> str:
    """Hash of a run: configuration, texts, and fingerprints of models and pictures; no path, device or date."""
    asked, counts = prompts_of(config.evaluation)
    used = {c.template_set for c in (config.training, config.pivot) if hasattr(c, "template_set")}
    texts = [words.templates(name) for name in sorted(used)]
    kind = type(config.training).__name__
    settings = config.training, config.pivot, config.evaluation.sampling
    return content_hash("run", kind, settings, texts, asked, counts, bench.fingerprints)
