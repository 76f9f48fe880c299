"""What a run is: frozen configurations, and what they mean for it (their hashes: hashing.py)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar


class InputError(ValueError):
    """Bad input by a user: one sentence that says what is wrong, where, and what to do."""


NORMS = ("free", "fixed", "decayed")
"""Rows as Adam moves them; on a sphere, only their direction learned; drawn towards the words' mean length."""


SOLVERS = ("dpm", "ddim")
"""DPM-Solver++(2M) (Lu et al., 2211.01095) and DDIM (Song et al., 2010.02502)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """Textual inversion of one placeholder token (Gal et al., 2208.01618, section 4)."""

    class_word: str
    """Word or words for what the images show."""
    initializer: str = ""
    """What the token starts from: other words, "random", or nothing for the class word; the mean of several words."""
    vectors: int = 1
    """Rows of the embedding table that stand for the token, one after the other."""
    further_vector_after: int = 0
    """Updates after which each further vector joins (the paper's progressive extension); 0 starts with all."""
    per_image: bool = False
    """A row of its own for each training image besides the shared ones, "S* with S_i" (per-image tokens)."""
    l2: float = 0.0
    """Weight of the squared distance of each row to its start, in the loss."""
    norm: str = "free"
    """What happens to the rows' lengths: one of NORMS."""
    learning_rate: float = 5e-3
    """Adam's constant step size, in units of an embedding entry (the paper's base rate); radians a step where the norm
    is fixed."""
    steps: int = 1000
    """Number of updates."""
    batch_size: int = 4
    """Images a step."""
    template_set: str = "object"
    """Name of a set in helpers.prompts.TEMPLATES."""
    flip_probability: float = 0.0
    """Share of mirrored images; 0 keeps left and right apart, which identities may need."""
    seed: int = 0
    """Seed of every named random stream of the training."""
    checkpoints: tuple[int, ...] = ()
    """Updates after which the rows are kept as results, besides the last."""
    log_every: int = 100
    """Updates from one measurement of the distances to the next; results are measured too."""

    def __post_init__(self) -> None:
        require_positive(self, "learning_rate", "steps", "batch_size", "vectors", "log_every")
        require_seed(self)
        if not self.class_word.strip():
            raise InputError("class_word is empty: name what the images show, for example class_word=toy.")
        if not 0 <= self.flip_probability <= 1:
            raise InputError(f"flip_probability is {self.flip_probability}: give a share from 0 to 1.")
        if self.norm not in NORMS:
            raise InputError(f"norm is {self.norm!r}: name one of {', '.join(NORMS)}.")
        if not (math.isfinite(self.l2) and self.l2 >= 0) or self.further_vector_after < 0:
            raise InputError("l2 and further_vector_after must be 0 or above.")
        require_checkpoints(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """LoRA finetuning of the UNet (Hu et al., 2106.09685), from a learned token or from words."""

    subject: str = "S*"
    """What stands in S*'s place in the templates: S* itself (a learned token), the class word, or a rare word."""
    learning_rate: float = 1e-4
    """Adam's constant step size of the adapters."""
    token_learning_rate: float = 0.0
    """Adam's step size of the token's rows, trained jointly; 0 leaves them as they are."""
    rank: int = 4
    """Columns of the adapters."""
    alpha: float = 4.0
    """The correction is alpha / rank times B A."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the UNet's modules that are adapted."""
    text_encoder: bool = False
    """Whether the text encoder's attention is adapted too."""
    steps: int = 500
    """Number of updates."""
    batch_size: int = 4
    """Images a step."""
    template_set: str = "object"
    """Name of a set in helpers.prompts.TEMPLATES."""
    flip_probability: float = 0.0
    """Share of mirrored images; 0 keeps left and right apart, which identities may need."""
    timestep_range: tuple[float, float] = (0.0, 1.0)
    """Part of the noise schedule that is trained on; lora_pti takes (0, 0.8)."""
    masked: bool = False
    """Whether the loss counts the concept's mask only."""
    prior_weight: float = 0.0
    """Weight of prior preservation (DreamBooth, 2208.12242, equation 2); 0 is without."""
    class_images: int = 100
    """Pictures of the class that the model draws for prior preservation before it is tuned."""
    largest_gradient: float = 1.0
    """A run's gradient is scaled down to this norm, as in diffusers' script."""
    seed: int = 0
    """Seed of every named random stream of the training."""
    checkpoints: tuple[int, ...] = ()
    """Updates after which the adapters are kept as results, besides the last."""
    log_every: int = 100
    """Updates from one measurement of the distances to the next; results are measured too."""

    def __post_init__(self) -> None:
        require_positive(
            self,
            "learning_rate",
            "rank",
            "alpha",
            "steps",
            "batch_size",
            "largest_gradient",
            "class_images",
            "log_every",
        )
        require_seed(self)
        if len(self.timestep_range) != 2 or not 0 <= self.timestep_range[0] < self.timestep_range[1] <= 1:
            raise InputError(f"timestep_range is {list(self.timestep_range)}: give two shares from 0 to 1, in order.")
        if not self.subject.strip():
            raise InputError("subject is empty: give S*, a class word such as character, or a rare word.")
        if not self.targets:
            raise InputError("targets is empty: name modules of the UNet, such as to_q to_k to_v to_out.0.")
        if not all(math.isfinite(value) and value >= 0 for value in (self.token_learning_rate, self.prior_weight)):
            raise InputError("token_learning_rate and prior_weight must be 0 or above.")
        require_checkpoints(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """No training: the model as it was, asked for the class word. What learning is compared with."""

    class_word: str
    """Stands in S*'s place; nothing asks for the prompt without S*, the most editable one."""
    seed: int = 0
    """As the seed of the runs it is compared with."""
    checkpoints: ClassVar[tuple[int, ...]] = ()
    steps: ClassVar[int] = 0
    batch_size: ClassVar[int] = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReuseConfig:
    """No further training: a learned token turned towards its class, or two learned tokens in one prompt."""

    class_word: str
    """What the token is turned towards, and what the learned one's class is."""
    turn: float = 0.0
    """Share of the angle to the class word's embedding by which the token is turned (rho of TEA, 2506.22685)."""
    shorten: float = 0.0
    """Share of the way that its length goes to the class word's, before it is turned (alpha of TEA's code)."""
    of: tuple[str, ...] = ()
    """Two concepts whose tokens, each learned on its own pictures, stand for S* and T*; nothing for the run's own."""
    seed: int = 0
    """As the seed of the runs it is compared with."""
    checkpoints: ClassVar[tuple[int, ...]] = ()
    steps: ClassVar[int] = 0
    batch_size: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not (0 <= self.turn <= 1 and 0 <= self.shorten <= 1):
            raise InputError("turn and shorten must be shares from 0 to 1.")
        if len(self.of) not in (0, 2):
            raise InputError(f"of names {len(self.of)} concepts: give two, or none for the run's own.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Sampling with classifier-free guidance (Ho and Salimans, 2207.12598)."""

    solver: str = "dpm"
    """One of SOLVERS."""
    steps: int = 20
    """Solver steps, one UNet evaluation each (two with guidance, in one batch)."""
    guidance_scale: float = 4.0
    """w in eps_uncond + w (eps_cond - eps_uncond), 1 or above; 1 is no guidance."""
    batch_size: int = 32
    """Images in one batch; every batch has this size, the last one is padded."""
    seed: int = 0
    """Seed of the initial latents: image i has the same latents for every prompt and run."""
    original_unconditional: bool = False
    """Whether the unconditional branch is the original model's, without adapters."""

    @property
    def guided(self) -> bool:
        """Whether there is an unconditional branch at all."""
        return self.guidance_scale > 1

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise InputError(f"solver is {self.solver!r}: name one of {', '.join(SOLVERS)}.")
        require_positive(self, "steps", "guidance_scale", "batch_size")
        require_seed(self)
        if self.guidance_scale < 1:
            raise InputError(f"guidance_scale is {self.guidance_scale}: give 1 (no guidance) or more.")


def require_positive(config: Any, *fields: str) -> None:
    """Raise InputError unless each named field is a finite number above 0."""
    for field in fields:
        value = getattr(config, field)
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{field} is {value}: give a number above 0.")


def require_seed(config: Any) -> None:
    """Raise InputError unless the seed is a whole number, 0 or above."""
    if not isinstance(config.seed, int) or config.seed < 0:
        raise InputError(f"seed is {config.seed!r}: give a whole number, 0 or above.")


def require_checkpoints(config: Any) -> None:
    """Raise InputError unless all checkpoints are steps of the training."""
    if any(not 0 < step <= config.steps for step in config.checkpoints):
        raise InputError(f"checkpoints are {list(config.checkpoints)}: give steps from 1 to {config.steps}.")


def effective(config: FinetuneConfig) -> FinetuneConfig:
    """The configuration without what has no effect: runs that differ in nothing else are one run."""
    return config if config.prior_weight else dataclasses.replace(config, class_images=1)


def results_at(config: InversionConfig | FinetuneConfig | ReferenceConfig | ReuseConfig) -> tuple[int, ...]:
    """Updates after which a run is a result, in order: its checkpoints and the last."""
    return tuple(sorted({*config.checkpoints, config.steps}))


def logged_at(config: InversionConfig | FinetuneConfig) -> frozenset[int]:
    """Updates after which the distances of a run are measured."""
    return frozenset({*results_at(config), *range(config.log_every, config.steps, config.log_every)})
