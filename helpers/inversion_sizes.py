"""How large report 02 is on each profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """Numbers of one profile."""

    factors: tuple[float, ...]
    """Learning rates, in units of the usual one."""
    steps: int
    """Updates of the headline."""
    checkpoints: tuple[int, ...] = ()
    """Updates after which results are kept; those of the headline's first seed go on to the last of them."""
    seeds: int = 1
    photos: int
    """Pictures of the photo."""
    edited: int
    """Pictures of each edit prompt, by the headline's first seed."""
    few: int
    """Pictures of each edit prompt otherwise."""
    per_kind: int
    """Edit prompts of a kind."""
    packed: int = 32
    """Pictures of one batch of the sampler: whole batches are drawn, so that a run's pictures should fill some."""
    turns: tuple[float, ...] = ()
    """Shares of the angle to the class word by which tokens are turned after training."""
    guidance: tuple[float, ...] = ()
    """Scales beside the default."""
    l2: tuple[float, ...] = ()
    """Weights of the squared distance to the class word."""
    radians: tuple[float, ...] = ()
    """Steps of direction-only inversion."""
    images: tuple[int, ...] = ()
    """Numbers of training pictures beside the default."""
    seen: bool = False
    """Whether prompts for things that training pictures show together are drawn too."""
    everything: bool = False
    """Whether the sections about chibi's other concepts and its second UNet are there."""

    @property
    def longest(self) -> int:
        """Updates of the headline's first seed."""
        return max((self.steps, *self.checkpoints))


HALF_DECADES = tuple(10 ** (k / 2 - 3.5) for k in range(8))
"""Up to the usual rate, which is far out already; the first scores are lost at a thousandth of it."""
SIZES = {
    "smoke": Size(factors=(0.1, 1.0), steps=10, photos=2, edited=2, few=2, per_kind=1, packed=12),
    "quick": Size(
        factors=tuple(HALF_DECADES[k] for k in (2, 3, 4, 5, 7)),
        steps=300,
        photos=12,
        edited=4,
        few=4,
        per_kind=1,
        turns=(0.4,),
        guidance=(1.0,),
    ),
    "full": Size(
        factors=HALF_DECADES,
        steps=1000,
        checkpoints=(125, 250, 500, 1000, 2000, 4000),
        seeds=2,
        photos=64,
        edited=64,
        few=16,
        per_kind=2,
        turns=(0.0, 0.2, 0.4, 0.6),
        guidance=(1.0, 2.0, 5.0),
        l2=(1e-7, 1e-6, 1e-5),
        radians=(0.01, 0.03),
        images=(1, 2, 3, 10, 25),
        seen=True,
        everything=True,
    ),
}
