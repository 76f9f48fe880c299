"""What a sweep consists of: runs as data, grids of them, and the batches in which they train together."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from helpers import finetune, inversion
from helpers.config import (
    FinetuneConfig,
    InputError,
    InversionConfig,
    ReferenceConfig,
    ReuseConfig,
    SamplingConfig,
    require_positive,
    results_at,
)
from helpers.hashing import canonical_json

Training = InversionConfig | FinetuneConfig | ReferenceConfig | ReuseConfig
METHODS = {
    "inversion": InversionConfig,
    "finetuning": FinetuneConfig,
    "reference": ReferenceConfig,
    "reuse": ReuseConfig,
}
SHARED = {
    InversionConfig: inversion.SHARED,
    FinetuneConfig: finetune.SHARED,
    ReferenceConfig: ("class_word", "seed"),
    ReuseConfig: ("class_word", "seed", "of"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is drawn and scored of every checkpoint of a run."""

    photo: str = "a photo of S*"
    """Prompt whose pictures are compared with the concept's own (2208.01618, section 5.1)."""
    photos: int = 64
    """Pictures of it; 0 draws none."""
    edits: str = "edits"
    """Edit prompts: a name in data/prompts, or a YAML file."""
    per_kind: int = 0
    """Prompts of each kind, the first ones; 0 takes all."""
    combinations: tuple[str, ...] = ()
    """Edit prompts of these combinations only, see prompts.COMBINATIONS; nothing takes all."""
    edited: int = 64
    """Pictures of each edit prompt."""
    at: tuple[int, ...] = ()
    """Results that are scored, by their number of updates; nothing scores all."""
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    """How they are drawn."""

    def __post_init__(self) -> None:
        require_positive(self, "edited")
        if self.photos < 0:
            raise InputError(f"photos is {self.photos}: give a number of pictures, 0 for none.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: a training and what is scored of it."""

    concept: str
    """A name in data/concepts, or a folder of images."""
    training: Training
    """A finetuning whose subject is S*, and a reuse, start from the token of `pivot`."""
    images: int = 0
    """Training pictures, the first ones; 0 is 5 of an embedded concept, all of a folder."""
    pivot: InversionConfig | None = None
    """The inversion that is made first, for pivotal tuning."""
    model: str = "chibi"
    """See models.load_pipeline."""
    scorer: str = "chibi"
    """See scorers.load_scorer."""
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    """What is scored."""

    def __post_init__(self) -> None:
        tuned = isinstance(self.training, FinetuneConfig) and "S*" in self.training.subject
        if (tuned or isinstance(self.training, ReuseConfig)) != (self.pivot is not None):
            raise InputError("a finetuning needs a pivot if its subject has S* in it, a reuse always, others never.")
        if unknown := sorted(set(self.evaluation.at) - set(results_at(self.training))):
            raise InputError(f"at names {unknown}, which are no results of the training: add them to its checkpoints.")
        if self.images < 0:
            raise InputError(f"images is {self.images}: give the number of training pictures, 0 for the concept's own.")
        if self.pivot is not None and self.pivot.per_image:
            raise InputError("per_image is set in the pivot: a pivot is one token for all pictures.")


def scored_at(config: RunConfig) -> tuple[int, ...]:
    """The results of a run that are drawn and scored."""
    return tuple(sorted(config.evaluation.at)) or results_at(config.training)


def pictures_a_step(training: Training) -> int:
    """How many pictures pass through the UNet in one step of one run."""
    return training.batch_size * (2 if getattr(training, "prior_weight", 0) else 1)


Batch = tuple[RunConfig, ...]
"""Runs that train together."""


def batches(configs: Sequence[RunConfig], *, most: int) -> list[Batch]:
    """The runs of a sweep in batches of at most `most` that share plan and models; none twice.

    What is together depends on the whole sweep, not on what is left of it, so that a sweep that was interrupted ends
    with the same numbers.
    """
    groups: dict[str, list[RunConfig]] = {}
    for config in dict.fromkeys(configs):
        groups.setdefault(common_of(config), []).append(config)
    found = []
    for group in groups.values():
        parts = -(-len(group) // most)
        found += [tuple(group[len(group) * k // parts : len(group) * (k + 1) // parts]) for k in range(parts)]
    return found


def common_of(config: RunConfig) -> str:
    """What runs of one batch have in common, as text."""
    shared = {name: getattr(config.training, name) for name in SHARED[type(config.training)]}
    vectors = inversion.vectors_at(config.pivot, config.pivot.steps - 1) if config.pivot else 0
    subject = getattr(config.training, "subject", "")
    models = config.model, config.scorer, config.concept, config.images, subject
    return canonical_json([type(config.training).__name__, shared, vectors, models, config.evaluation])


def load_grid(path: Path) -> list[RunConfig]:
    """The runs of a YAML file: RunConfig's fields and `method`; a list is an axis of the grid.

    Raises:
        InputError: the file is missing, or a field is unknown or of another type.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a YAML file such as those in notebooks/sweeps.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not readable as YAML ({str(error).splitlines()[0]}).") from error
    if not isinstance(content, dict) or str(content.get("method")) not in METHODS:
        raise InputError(f"{path} has no method: name one of {', '.join(METHODS)}.")
    method = METHODS[content.pop("method")]
    try:
        return list(grid(RunConfig, content, training=method))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def grid(kind: type, content: Mapping[str, Any], *, training: type | None = None) -> Iterator[Any]:
    """All configurations of one kind that a map describes: the product of its lists, the last one running fastest."""
    hints = typing.get_type_hints(kind) | ({"training": training} if training else {})
    unknown = sorted(set(map(str, content)) - {field.name for field in dataclasses.fields(kind)})
    if unknown:
        raise InputError(f"{', '.join(unknown)} is unknown: {kind.__name__} has {', '.join(hints)}.")
    axes = {name: list(choices(name, hints[name], value)) for name, value in content.items()}
    for values in itertools.product(*axes.values()):
        try:
            yield kind(**dict(zip(axes, values, strict=True)))
        except TypeError as error:  # a field without a default is missing
            raise InputError(f"{kind.__name__} is not complete: {error}.") from error


def choices(name: str, hint: Any, value: Any) -> Iterator[Any]:
    """The values of a field: each of a list, one of anything else; a tuple's own list is one value."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise InputError(f"{name} is {value!r}: write a map of its fields.")
        yield from grid(hint, value)
        return
    is_tuple = typing.get_origin(hint) is tuple
    if isinstance(value, list) and not value and not is_tuple:
        raise InputError(f"{name} is an empty list: give at least one value.")
    several = isinstance(value, list) and (not is_tuple or any(isinstance(inner, list) for inner in value))
    for one in value if several else [value]:
        if is_tuple:
            inner = typing.get_args(hint)[0]
            yield tuple(plain(name, inner, part) for part in (one if isinstance(one, list) else [one]))
        else:
            yield plain(name, hint, one)


def plain(name: str, hint: type, value: Any) -> Any:
    """A value of a plain type; 1e-3, which YAML takes for a text, is a number."""
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{name} is {value!r}: give a value of type {hint.__name__}.")
    return value
