"""Pictures become rows: whole, foreground and background against training pictures and those that only score."""

import pandas as pd
import pytest
import tiny
import torch

from helpers import evaluation, scores
from helpers.concepts import Concept
from helpers.config import SamplingConfig
from helpers.prompts import EditPrompt
from helpers.scorers import load_scorer

PROMPTS = (EditPrompt(kind="photo", text="a photo of S*"), EditPrompt(kind="background", text="S* on the moon"))


def pictures(count, seed):
    values = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
    return values.to(torch.uint8)


def left_half(images):
    masks = torch.zeros(len(images), 32, 32, dtype=torch.bool)
    masks[:, :, :16] = True
    return masks


def concept(*, unseen=2):
    images, held = pictures(3, 0), pictures(unseen, 1)
    masks = {"masks": left_half(images), "score_masks": left_half(held) if unseen else None}
    return Concept(name="it", images=images, names=("a", "b", "c"), score_images=held, facts={}, scenes=[], **masks)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_scorer(str(tiny.save_scorer(tmp_path_factory.mktemp("models") / "scorer")), device="cpu")


def look(images, asked):
    return pd.DataFrame({"edit": [True] * len(images)}), left_half(images)


def evaluated(scorer, concept, *, look=look):
    options = {"subject": "toy", "prompts": PROMPTS, "counts": [3, 2], "config": SamplingConfig(steps=2, batch_size=2)}
    instruments = evaluation.Instruments(scorer=scorer, look=look)
    (found,) = evaluation.evaluate(tiny.pipeline(), concept, instruments, runs=1, learned=None, **options)
    return found


def test_every_picture_is_scored_whole_and_in_parts(scorer):
    found, known = evaluated(scorer, concept()), concept()
    names = {f"reconstruction_{p}{n}" for p in ("", "foreground_", "background_") for n in ("training", "unseen")}
    assert names <= set(found.rows) and found.rows[sorted(names)].notna().all().all()
    assert found.rows.groupby("prompt").size().to_dict() == {"a photo of S*": 3, "S* on the moon": 2}
    drawn = found.sheet[:3]
    for part, masks in (("foreground", left_half(drawn)), ("background", ~left_half(drawn))):
        own = known.score_masks if part == "foreground" else ~known.score_masks
        references = scores.embed_images(scorer, scores.on_grey(known.score_images, own))
        by_hand = scores.reconstruction(scores.embed_images(scorer, scores.on_grey(drawn, masks)), references)
        assert found.rows[f"reconstruction_{part}_unseen"][:3].tolist() == pytest.approx(by_hand.tolist(), abs=1e-5)


def test_what_cannot_be_masked_is_scored_whole(scorer):
    columns = set(evaluated(scorer, concept(unseen=0), look=None).rows)
    assert "reconstruction_training" in columns and not any("ground_" in c or "unseen" in c for c in columns)
