"""Measuring prompts: packed drawing, paired intervals, tidy rows."""

import pytest
import tiny
import torch

from helpers import scores, tradeoff
from helpers.config import SamplingConfig
from helpers.models import load_scorer
from helpers.sample import sample

CONFIG = SamplingConfig(steps=2, batch_size=2)
PROMPTS = ["a photo of a dog", "a toy on the moon"]


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_scorer(str(tiny.save_scorer(tmp_path_factory.mktemp("models") / "scorer")), device="cpu")


def test_every_prompt_gets_its_images(pipeline, scorer, monkeypatch):
    monkeypatch.setattr(tradeoff, "CHUNK_BATCHES", 2)
    found = tradeoff.measure(pipeline, scorer, PROMPTS, count=3, config=CONFIG, keep=2)
    alone = sample(pipeline, [PROMPTS[1]] * 3, indices=range(3), config=CONFIG)
    assert found.vectors.shape[:2] == (2, 3) and found.images.shape[:2] == (2, 2)
    assert (found.images[1].int() - alone[:2].int()).abs().max() <= 1
    assert torch.allclose(found.vectors[1], scores.embed_images(scorer, alone), atol=1e-2)
    second = found.of([1])
    assert second.prompts == (PROMPTS[1],) and torch.equal(second.vectors[0], found.vectors[1])


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def measured(vectors):
    prompts = tuple(f"prompt {n}" for n in range(len(vectors)))
    return tradeoff.Measured(prompts=prompts, vectors=vectors, images=torch.empty(0))


def test_intervals_are_over_images_and_differences_are_paired():
    references, vectors = unit(3, 8, seed=1), unit(2, 20, 8)
    nearer = torch.nn.functional.normalize(vectors + 0.2 * references.mean(0), dim=-1)
    one, other = measured(nearer), measured(vectors)

    def kept(v):
        return scores.reconstruction(v, references)

    alone, difference = tradeoff.over_images(kept, one), tradeoff.over_images(kept, one, other)
    assert (alone.n, alone.unit) == (20, "images")
    assert alone.value == pytest.approx(kept(nearer).mean().item())
    assert difference.value == pytest.approx((kept(nearer) - kept(vectors)).mean().item(), abs=1e-6)
    assert difference.low > 0
    assert difference.high - difference.low < alone.high - alone.low


def test_pairs_among_leaves_out_each_image_with_itself():
    vectors = unit(5, 8)
    cosines = vectors @ vectors.T
    expected = (cosines.sum() - 5) / 20
    found = tradeoff.pairs_among(vectors)
    assert found.value == pytest.approx(expected.item(), abs=1e-6)
    assert found.low <= found.value <= found.high < 1


def test_rows_are_tidy():
    references, texts, vectors = unit(3, 8, seed=1), unit(2, 8, seed=2), unit(2, 4, 8)
    templates = ["S* one", "S* two"]
    rows = tradeoff.image_rows("inversion", measured(vectors), templates, references=references, texts=texts)
    assert len(rows) == 8
    row = rows[(rows.template == "S* two") & (rows["index"] == 3)].iloc[0]
    assert row.text_cosine == pytest.approx((vectors[1, 3] @ texts[1]).item(), abs=1e-6)
    assert row.reconstruction == pytest.approx((vectors[1, 3] @ references.T).mean().item(), abs=1e-6)
