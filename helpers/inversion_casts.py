"""Who is studied in report 02: a user's one concept, or chibi's casts, each of which answers its own question."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from helpers import inversion_runs as sections
from helpers.concepts import Concept
from helpers.config import ReferenceConfig, ReuseConfig
from helpers.inversion_runs import Labelled, Setup
from helpers.models import EMBEDDED
from helpers.world.chibi import character_of
from helpers.world.newcomers import CONFIRM, DEVELOP, NAMED, NAMED_PAIRS, PAIRS
from helpers.world.spoken import long_description, short_description

STRANGERS = ("five-strangers", *(f"five-strangers-{k}" for k in range(2, 7)))
STYLE = "style-watercolour"
SECOND = "second model"
TOGETHER_UPDATES, TOGETHER_PICTURES = 2, 10
"""Two tokens trained together see as many pictures and updates as two that are trained apart."""
Load = Callable[[str], Concept]


def studied(setup: Setup, concept: str) -> tuple[str, ...]:
    """The concepts that rates are chosen on: chibi's six where everything is wanted, else the one that is named."""
    whole = setup.size.everything and setup.model in EMBEDDED and concept in DEVELOP
    return DEVELOP if whole else (concept,)


def all_runs(setup: Setup, concept: str, load: Load) -> list[Labelled]:
    """Every run of a report, section after section.

    Args:
        setup: what they have in common.
        concept: the one that is named.
        load: reads a concept's pictures and facts.
    """
    cast = studied(setup, concept)
    seeds = [setup.seed + k for k in range(setup.size.seeds)]
    found: list[Labelled] = []
    for name in cast:
        word = word_of(setup, load(name))
        found += sections.references(setup, name, word)
        found += sections.rates(setup, name, word, seeds=seeds)
        found += sections.guided(setup, name, word, low_and_high(setup.rates))
    if len(cast) == 1:
        return found + list(sections.turned(setup, concept, word_of(setup, load(concept))))
    for name in cast:
        word = word_of(setup, load(name))
        found += sections.checkpoints(setup, name, word)
        found += sections.seen_together(setup, name, word)
        found += sections.configurations(setup, name, word, setup.size.images)
        found += sections.turned(setup, name, word)  # from a token that is among them
        found += sections.described(setup, name, descriptions(load(name)))
    found += [*confirmed(setup, load), *controls(setup, load), *pairs(setup), *style(setup, load)]
    return found + second_model(setup, cast, load)


def word_of(setup: Setup, concept: Concept) -> str:
    """The class word: the report's, else the concept's own."""
    return setup.class_word or concept.class_word


def low_and_high(rates: Sequence[float]) -> tuple[float, float]:
    """A rate from the lower third and one from the upper third."""
    return rates[len(rates) // 3], rates[-1 - len(rates) // 6]


def descriptions(concept: Concept) -> dict[str, str]:
    """What a person would say of a drawn character."""
    character = character_of(concept)
    return {sections.SHORT: short_description(character), sections.LONG: long_description(character)}


def with_few(setup: Setup) -> Setup:
    """The same with as many pictures of each edit prompt in the references as in all other runs."""
    return dataclasses.replace(setup, size=dataclasses.replace(setup.size, edited=setup.size.few))


def confirmed(setup: Setup, load: Load) -> Iterator[Labelled]:
    """The six concepts that nothing is chosen on, at every rate."""
    brief = with_few(setup)
    for name in CONFIRM:
        word = word_of(setup, load(name))
        yield from relabelled(sections.references(brief, name, word), "confirmation")
        yield from sections.rates(setup, name, word, seeds=[setup.seed], section="confirmation")


def controls(setup: Setup, load: Load) -> Iterator[Labelled]:
    """Named characters, whose names are the ceiling, and sets of strangers, of whom there is nothing to learn."""
    brief = with_few(setup)
    for section, concepts in (("named", [f"named-{name}" for name in NAMED]), ("strangers", STRANGERS)):
        for name in concepts:
            concept = load(name)
            word = word_of(setup, concept)
            yield from relabelled(sections.references(brief, name, word), section)
            run = setup.run(name, setup.inversion(word), setup.brief)
            yield Labelled(section=section, condition="token", config=run)
            if "ceiling" in concept.facts:
                yield from relabelled(sections.described(setup, name, {"name": concept.facts["ceiling"]}), section)


def pairs(setup: Setup) -> Iterator[Labelled]:
    """Two characters in one picture: learned apart, learned together, and two with names."""
    evaluation = setup.scored(setup.size.photos, setup.size.few, 10, edits="two")
    apart = setup.inversion("character")
    together = setup.inversion(
        "character", vectors=2, template_set="pair", steps=TOGETHER_UPDATES * setup.size.steps, checkpoints=()
    )
    for pair in PAIRS:
        name = "-and-".join(pair)
        reuse = ReuseConfig(class_word="character", of=pair, seed=setup.seed)
        run = setup.run(name, reuse, evaluation, pivot=apart)
        yield Labelled(section="pairs", condition="learned apart", config=run)
        run = setup.run(name, together, evaluation, images=TOGETHER_PICTURES)
        yield Labelled(section="pairs", condition="learned together", config=run)
        described = ReferenceConfig(class_word="character and character", seed=setup.seed)
        yield Labelled(section="pairs", condition="two characters", config=setup.run(name, described, evaluation))
    for pair in NAMED_PAIRS:
        named = ReferenceConfig(class_word=" and ".join(pair), seed=setup.seed)
        run = setup.run("-and-".join(pair), named, evaluation)
        yield Labelled(section="pairs", condition="two names", config=run)


def style(setup: Setup, load: Load) -> Iterator[Labelled]:
    """A style without a word: "a painting in the style of S*"."""
    word = load(STYLE).class_word
    options = {"edits": "style", "photo": "a painting in the style of S*"}
    evaluation = setup.scored(setup.size.photos, setup.size.few, 10, **options)
    for condition, words in ((sections.CLASS_WORD, word), ("oil", "oil")):
        run = setup.run(STYLE, ReferenceConfig(class_word=words, seed=setup.seed), evaluation)
        yield Labelled(section="style", condition=condition, config=run)
    for seed in range(setup.seed, setup.seed + setup.size.seeds):
        for rate in low_and_high(setup.rates):
            training = setup.inversion(word, learning_rate=rate, template_set="style", seed=seed)
            run = setup.run(STYLE, training, evaluation)
            yield Labelled(section="style", condition=sections.rate_name(rate), config=run)


def second_model(setup: Setup, cast: Sequence[str], load: Load) -> list[Labelled]:
    """Every third rate again, without guidance too, and the pairs, on the other embedded model: do the signs hold?"""
    (elsewhere,) = (name for name in EMBEDDED if name != setup.model)
    few = setup.size.few
    brief = dataclasses.replace(setup.size, photos=few, edited=few // 2, few=few // 2, guidance=(1.0,))
    other = dataclasses.replace(setup, size=brief, model=elsewhere, rates=setup.rates[1::3] or setup.rates)
    found: list[Labelled] = []
    for name in cast:
        word = word_of(setup, load(name))
        found += relabelled(sections.references(other, name, word), SECOND)
        found += sections.rates(other, name, word, seeds=[setup.seed], section=SECOND)
        guided = sections.guided(other, name, word, other.rates[-1:], steps=setup.size.steps)
        found += relabelled(guided, f"{SECOND}, guidance")
    return [*found, *relabelled(iter(pairs(other)), f"{SECOND}, pairs")]


def relabelled(runs: Iterator[Labelled], section: str) -> Iterator[Labelled]:
    """The runs as those of another section."""
    return (dataclasses.replace(run, section=section) for run in runs)
