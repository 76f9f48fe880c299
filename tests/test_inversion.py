"""Textual inversion moves one row, and nothing else, towards the images."""

import copy
import dataclasses

import pytest
import tiny
import torch

from helpers import inversion
from helpers.config import InputError, InversionConfig
from helpers.models import pipeline_fingerprint


def images():
    return torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def config(**changes):
    return InversionConfig(**{"class_word": "character", "steps": 3, "batch_size": 2, **changes})


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


def test_only_the_row_moves(pipeline):
    before = pipeline_fingerprint(pipeline)
    found = inversion.invert(pipeline, images(), config=config())
    assert pipeline_fingerprint(pipeline) == before
    assert all(parameter.grad is None for parameter in pipeline.unet.parameters())
    assert found.rows.shape == (1, tiny.WIDTH) and not torch.equal(found.rows, found.initial)
    assert (found.rows - found.initial).abs().max() <= 3 * config().learning_rate * 1.01, "three steps of Adam"
    assert [record.step for record in found.records] == [0, 1, 2]


def test_the_loss_falls_on_fixed_noise(pipeline, monkeypatch):
    """With the same draws at every step the objective is deterministic and must go down."""
    draw = inversion.Plan.step
    monkeypatch.setattr(inversion.Plan, "step", lambda plan, index: draw(plan, 0))
    losses = [r.loss for r in inversion.invert(pipeline, images(), config=config(steps=30)).records]
    assert losses[-1] < losses[0]
    assert sorted(losses, reverse=True)[:3] == losses[:3]


def test_the_same_seed_gives_the_same_row(pipeline):
    one, other = (inversion.invert(pipeline, images(), config=config()).rows for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, inversion.invert(pipeline, images(), config=config(seed=1)).rows)


def test_the_gradient_is_that_of_an_added_token(pipeline):
    """One step against the textbook way: the token added to the tokenizer and the table resized."""
    ours = inversion.invert(pipeline, images(), config=config(steps=1)).records[0]
    plain = tiny.pipeline()
    plain.tokenizer = copy.deepcopy(plain.tokenizer)
    plain.load_textual_inversion({"<s*>": inversion.class_row(pipeline, "character")[0]})
    table = plain.text_encoder.get_input_embeddings().weight.requires_grad_(True)
    texts = inversion.templates("object")
    schedule = inversion.training_schedule(plain.scheduler)
    step = inversion.Plan(
        seed=0, images=3, templates=len(texts), batch_size=2, latent_shape=(4, 8, 8), timesteps=1000,
        flip_probability=0.0,
    ).step(0)  # fmt: skip
    prompts = [texts[i].replace("S*", "<s*>") for i in step.templates]
    ids = plain.tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids
    states = plain.text_encoder(ids).last_hidden_state
    latents = inversion.latent_moments(plain.vae, images()).draw(step)
    loss = inversion.denoising_loss(plain, schedule, latents, states, step)
    loss.backward()
    assert ours.loss == pytest.approx(loss.item(), rel=1e-5)
    assert ours.gradient_norm == pytest.approx(table.grad[-1].norm().item(), rel=1e-4)


def test_the_class_row_is_the_mean_of_its_words(pipeline):
    table = pipeline.text_encoder.get_input_embeddings().weight
    ids = inversion.tokens.class_word_ids(pipeline.tokenizer, "toy dog")
    assert torch.allclose(inversion.class_row(pipeline, "toy dog")[0], table[ids].mean(0))
    with pytest.raises(InputError, match="zebra"):
        inversion.invert(pipeline, images(), config=config(class_word="zebra"))


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_other_prediction_types_train(prediction_type):
    found = inversion.invert(tiny.pipeline(prediction_type=prediction_type), images(), config=config())
    assert found.failed_at is None and not torch.equal(found.rows, found.initial)


def test_the_hash_covers_configuration_and_content():
    base = inversion.inversion_hash(config(), pipeline="p", images="i")
    assert base == inversion.inversion_hash(config(), pipeline="p", images="i")
    others = [
        inversion.inversion_hash(dataclasses.replace(config(), seed=5), pipeline="p", images="i"),
        inversion.inversion_hash(config(), pipeline="q", images="i"),
        inversion.inversion_hash(config(), pipeline="p", images="j"),
    ]
    assert len({base, *others}) == 4
