"""What a run works with: models, pictures and instruments, loaded once a process, and the hash they give a run."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from diffusers import StableDiffusionPipeline

from helpers import prompts as words
from helpers.concepts import Concept, load_concept
from helpers.config import FinetuneConfig, ReuseConfig, SamplingConfig, effective
from helpers.evaluation import Instruments
from helpers.footprint import Footprint, footprint_of, pictures_that_fit
from helpers.grid import EvaluationConfig, RunConfig
from helpers.hashing import content_hash, tensor_hash
from helpers.models import CHIBI, EMBEDDED, image_size, load_pipeline, pipeline_fingerprint
from helpers.prompts import EditPrompt
from helpers.scorers import Scorer, check_scorer, load_scorer
from helpers.world.chibi import chibi_instruments


@dataclass(frozen=True, kw_only=True)
class Model:
    """A pipeline, its hash, and what a pass of its UNet takes."""

    pipeline: StableDiffusionPipeline
    fingerprint: str
    footprint: Footprint


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Models and a concept, loaded once a process."""

    model: Model
    concept: Concept
    instruments: Instruments
    fingerprints: dict[str, str]
    """Of the pipeline, the training pictures, what only scores (pictures, identity, class word), the scorer and the
    reader: what a run's hash covers beside its configuration."""

    @property
    def pipeline(self) -> StableDiffusionPipeline:
        """The model's pipeline."""
        return self.model.pipeline


@functools.lru_cache(maxsize=1)
def load_model(source: str, device: str) -> Model:
    """A pipeline, measured; one at a time is kept in memory."""
    pipeline = load_pipeline(source, device=device)
    return Model(pipeline=pipeline, fingerprint=pipeline_fingerprint(pipeline), footprint=footprint_of(pipeline))


@functools.lru_cache(maxsize=1)
def _scorer(source: str, device: str) -> Scorer:
    return load_scorer(source, device=device)


@functools.lru_cache(maxsize=1)
def load_workbench(model: str, scorer: str, concept: str, images: int, device: str = "auto") -> Workbench:
    """Load what a run names; where pictures of chibi are drawn they are read as well.

    Raises:
        InputError: one of them cannot be loaded, or the scorer does not fit the model.
    """
    loaded = load_model(model, device)
    check_scorer(loaded.pipeline, scorer)
    judge = _scorer(scorer, device)
    pictures = load_concept(concept, size=image_size(loaded.pipeline), count=images)
    instruments, read_by = Instruments(scorer=judge), ""
    if model in EMBEDDED and pictures.scenes:
        instruments, read_by = chibi_instruments(judge, pictures, CHIBI / "reader", str(loaded.pipeline.device))
    fingerprints = {
        "pipeline": loaded.fingerprint,
        "images": pictures.fingerprint,
        "scored_with": scored_with(pictures),
        "scorer": judge.fingerprint,
        "reader": read_by,
    }
    return Workbench(model=loaded, concept=pictures, instruments=instruments, fingerprints=fingerprints)


def scored_with(concept: Concept) -> str:
    """Hash of what scores and metrics take from a concept beside its training pictures."""
    seen = [("pictures", concept.score_images)]
    seen += [] if concept.score_masks is None else [("masks", concept.score_masks)]
    return content_hash(tensor_hash(seen), concept.scenes, concept.class_word)


def workbench_of(config: RunConfig, device: str = "auto") -> Workbench:
    """`load_workbench` of what a run names."""
    return load_workbench(config.model, config.scorer, config.concept, config.images, device)


def at_once(bench: Workbench, *, training: bool, share: float) -> int:
    """How many pictures pass through the UNet at once in this process's share of the memory."""
    return pictures_that_fit(bench.model.footprint, device=bench.pipeline.device, training=training, share=share)


def fitting(config: SamplingConfig, bench: Workbench, *, share: float) -> SamplingConfig:
    """The configuration with no more pictures in a batch than fit into this process's share of the memory."""
    fit = at_once(bench, training=False, share=share)
    fit = max(1, fit // 2) if config.guided else fit
    return dataclasses.replace(config, batch_size=min(config.batch_size, fit))


def prompts_of(evaluation: EvaluationConfig) -> tuple[tuple[EditPrompt, ...], tuple[int, ...]]:
    """The prompts that are drawn, the photo first, and how many pictures of each."""
    edits = words.load_edit_prompts(words.edit_file(evaluation.edits))
    if evaluation.combinations:
        edits = tuple(edit for edit in edits if edit.combination in evaluation.combinations)
    edits = words.few_of_each_kind(edits, evaluation.per_kind) if evaluation.per_kind else edits
    edits = tuple(edit for edit in edits if edit.text != evaluation.photo)
    photo = EditPrompt(kind="photo", text=evaluation.photo)
    return (photo, *edits), (evaluation.photos, *[evaluation.edited] * len(edits))


def run_hash(config: RunConfig, bench: Workbench) -> str:
    """Hash of a run: configuration, texts, and fingerprints of models and pictures; no path, device or date."""
    asked, counts = prompts_of(config.evaluation)
    used = {c.template_set for c in (config.training, config.pivot) if hasattr(c, "template_set")}
    texts = [words.templates(name) for name in sorted(used)]
    kind = type(config.training).__name__
    sampling = dataclasses.replace(config.evaluation.sampling, batch_size=1)  # how pictures are packed changes nothing
    training = effective(config.training) if isinstance(config.training, FinetuneConfig) else config.training
    further = [list(config.evaluation.at)] if config.evaluation.at else []
    if isinstance(training, ReuseConfig):  # other concepts count by their pictures
        size, count = image_size(bench.pipeline), config.images
        further.append([load_concept(name, size=size, count=count).fingerprint for name in training.of])
        training = dataclasses.replace(training, of=())
    settings = training, config.pivot, sampling
    return content_hash("run", kind, settings, texts, asked, counts, bench.fingerprints, *further)
