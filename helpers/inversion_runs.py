"""The runs of report 02, by section: what is trained, what is drawn of it, and what it is called there.

Runs of one training that are scored in several ways share it through the store; those of one concept, seed and
number of updates train as one batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.config import InversionConfig, ReferenceConfig, ReuseConfig, SamplingConfig
from helpers.grid import EvaluationConfig, RunConfig, Training
from helpers.inversion_sizes import Size
from helpers.prompts import edit_file, load_edit_prompts

CLASS_WORD, BARE = "class word", "without S*"
"""The references of every comparison: the prompt with the class word, and with nothing, in S*'s place."""
SHORT, LONG = "short description", "long description"


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A run and where it belongs."""

    section: str
    condition: str
    config: RunConfig


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the runs of a report have in common."""

    size: Size
    model: str
    scorer: str
    class_word: str
    """Empty takes each concept's own."""
    rates: tuple[float, ...]
    """Learning rates, rising, in units of an embedding entry."""
    usual: float
    """The rate of the configurations that differ in something else."""
    seed: int
    batch_size: int
    template_set: str
    images: int
    edits: str
    guidance_scale: float

    def scored(self, photos: int, edited: int, per_kind: int = 0, **changes: Any) -> EvaluationConfig:
        """What is drawn: pictures of the photo, of each edit prompt, and how many prompts of a kind."""
        guidance = changes.pop("guidance_scale", self.guidance_scale)
        sampling = SamplingConfig(guidance_scale=guidance, batch_size=self.size.packed, seed=self.seed)
        per_kind = per_kind or self.size.per_kind
        options = {"edits": self.edits, "photos": photos, "edited": edited, "per_kind": per_kind, "sampling": sampling}
        return EvaluationConfig(**options | changes)

    @property
    def scales(self) -> tuple[float, ...]:
        """Guidance scales beside the report's own."""
        return tuple(scale for scale in self.size.guidance if scale != self.guidance_scale)

    @property
    def brief(self) -> EvaluationConfig:
        """What is drawn of the configurations."""
        return self.scored(self.size.photos, self.size.few)

    def run(self, concept: str, training: Training, evaluation: EvaluationConfig, **changes: Any) -> RunConfig:
        """A run of a concept, scored after its last update unless the evaluation says otherwise."""
        if training.checkpoints and not evaluation.at:
            evaluation = dataclasses.replace(evaluation, at=(training.steps,))
        common = {"model": self.model, "scorer": self.scorer, "images": self.images}
        return RunConfig(concept=concept, training=training, evaluation=evaluation, **common | changes)

    def inversion(self, class_word: str, *, seed: int | None = None, **changes: Any) -> InversionConfig:
        """An inversion at the usual rate, unless it is changed."""
        steps = changes.get("steps", self.size.steps)
        common = {
            "class_word": class_word,
            "learning_rate": self.usual,
            "steps": steps,
            "checkpoints": tuple(step for step in self.size.checkpoints if step <= steps),
            "batch_size": self.batch_size,
            "template_set": self.template_set,
            "seed": self.seed if seed is None else seed,
            "log_every": max(5, self.size.steps // 4),
        }
        return InversionConfig(**common | changes)


def references(setup: Setup, concept: str, word: str) -> Iterator[Labelled]:
    """The model as it was, of the class word and of nothing."""
    size = setup.size
    for condition, words in ((CLASS_WORD, word), (BARE, "")):
        training = ReferenceConfig(class_word=words, seed=setup.seed)
        run = setup.run(concept, training, setup.scored(size.photos, size.edited))
        yield Labelled(section="references", condition=condition, config=run)


def rates(setup: Setup, concept: str, word: str, *, seeds: Sequence[int], section: str = "rates") -> Iterator[Labelled]:
    """Textual inversion at every rate, scored after the headline's updates; further seeds with fewer pictures."""
    size = setup.size
    for n, seed in enumerate(seeds):
        steps = size.longest if not n and section == "rates" else size.steps
        edited = size.edited if not n and section == "rates" else size.few
        evaluation = setup.scored(size.photos, edited, at=(size.steps,))
        for rate in setup.rates:
            training = setup.inversion(word, seed=seed, learning_rate=rate, steps=steps)
            yield Labelled(section=section, condition=rate_name(rate), config=setup.run(concept, training, evaluation))


def checkpoints(setup: Setup, concept: str, word: str) -> Iterator[Labelled]:
    """The same trainings after fewer and more updates, fewer prompts of each kind."""
    size = setup.size
    others = tuple(step for step in size.checkpoints if step != size.steps)
    if not others:
        return
    evaluation = setup.scored(size.few, size.few, 1, at=others)
    for rate in setup.rates:
        training = setup.inversion(word, learning_rate=rate, steps=size.longest)
        yield Labelled(section="updates", condition=rate_name(rate), config=setup.run(concept, training, evaluation))


def configurations(setup: Setup, concept: str, word: str, images: Sequence[int]) -> Iterator[Labelled]:
    """One thing changed at a time at the usual rate: those of the paper and what people would try today."""
    changes: dict[str, dict[str, Any]] = {
        "one vector": {},
        "2 vectors": {"vectors": 2},
        "3 vectors": {"vectors": 3},
        "2 vectors, progressive": {"vectors": 2, "further_vector_after": setup.size.steps // 2},
        "3 vectors, progressive": {"vectors": 3, "further_vector_after": setup.size.steps // 3},
        **{f"L2 {weight:g}": {"l2": weight} for weight in setup.size.l2},
        "from girl": {"initializer": "girl"},
        "from random": {"initializer": "random"},
        "token for each image": {"per_image": True},
        "length held": {"norm": "decayed"},
        **{f"direction, {rate:g} rad": {"norm": "fixed", "learning_rate": rate} for rate in setup.size.radians},
    }
    for condition, change in changes.items():
        run = setup.run(concept, setup.inversion(word, **change), setup.brief)
        yield Labelled(section="configurations", condition=condition, config=run)
    for count in images:
        run = setup.run(concept, setup.inversion(word), setup.brief, images=count)
        yield Labelled(section="configurations", condition=images_name(count), config=run)


def turned(setup: Setup, concept: str, word: str) -> Iterator[Labelled]:
    """The usual rate's token turned towards the class word after training (TEA)."""
    for turn in setup.size.turns:
        training = ReuseConfig(class_word=word, turn=turn, shorten=1.0, seed=setup.seed)
        run = setup.run(concept, training, setup.brief, pivot=setup.inversion(word))
        yield Labelled(section="configurations", condition=f"word's length, turned {turn:g}", config=run)


def described(setup: Setup, concept: str, texts: dict[str, str]) -> Iterator[Labelled]:
    """Words in S*'s place and nothing learned: a person's descriptions, or a name."""
    for condition, text in texts.items():
        run = setup.run(concept, ReferenceConfig(class_word=text, seed=setup.seed), setup.brief)
        yield Labelled(section="configurations", condition=condition, config=run)


def guided(setup: Setup, concept: str, word: str, chosen: Sequence[float], *, steps: int = 0) -> Iterator[Labelled]:
    """Some rates and the class word at other guidance scales; trained as in the headline, or for `steps` updates."""
    size = setup.size
    for scale in setup.scales:
        evaluation = setup.scored(0, size.few, 1, guidance_scale=scale)
        run = setup.run(concept, ReferenceConfig(class_word=word, seed=setup.seed), evaluation)
        yield Labelled(section="guidance", condition=CLASS_WORD, config=run)
        evaluation = dataclasses.replace(evaluation, at=(size.steps,))
        for rate in chosen:
            training = setup.inversion(word, learning_rate=rate, steps=steps or size.longest)
            yield Labelled(
                section="guidance", condition=rate_name(rate), config=setup.run(concept, training, evaluation)
            )


def seen_together(setup: Setup, concept: str, word: str) -> Iterator[Labelled]:
    """Pairs of things that training pictures show together, which the other prompts ask for only apart or held out."""
    size = setup.size
    if not size.seen or not any(edit.combination == "seen" for edit in load_edit_prompts(edit_file(setup.edits))):
        return
    evaluation = setup.scored(0, size.few, 1, combinations=("seen",))
    run = setup.run(concept, ReferenceConfig(class_word=word, seed=setup.seed), evaluation)
    yield Labelled(section="seen", condition=CLASS_WORD, config=run)
    evaluation = dataclasses.replace(evaluation, at=(size.steps,))
    for rate in setup.rates:
        training = setup.inversion(word, learning_rate=rate, steps=size.longest)
        yield Labelled(section="seen", condition=rate_name(rate), config=setup.run(concept, training, evaluation))


def rate_name(rate: float) -> str:
    """A rate as a condition."""
    return f"rate {rate:.3g}"


def images_name(count: int) -> str:
    """A number of training pictures as a condition."""
    return "1 picture" if count == 1 else f"{count} pictures"
