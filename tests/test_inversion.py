"""Textual inversion moves one row, and nothing else, towards the images."""

import copy
import dataclasses
import math

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


@pytest.fixture(scope="module")
def exact():
    """In float64: Adam's first step is the gradient's sign, so a rounding error in float32 may turn a whole step."""
    pipeline = tiny.pipeline()
    pipeline.to(torch.float64)
    return pipeline


def one(pipeline, **changes):
    return inversion.invert(pipeline, images(), configs=[config(**changes)])[0]


def test_only_the_row_moves(pipeline):
    before = pipeline_fingerprint(pipeline)
    found = one(pipeline)
    assert pipeline_fingerprint(pipeline) == before
    assert all(parameter.grad is None for parameter in pipeline.unet.parameters())
    assert found.rows.shape == (1, tiny.WIDTH) and not torch.equal(found.rows, found.initial)
    assert (found.rows - found.initial).abs().max() <= 3 * config().learning_rate * 1.01, "three steps of Adam"
    assert all(values.shape == (3,) for values in found.history.values())


SWEEP = [
    {"learning_rate": 1e-2},
    {"learning_rate": 1e-3, "l2": 0.1},
    {"initializer": "dog", "vectors": 3},
    {"initializer": "random", "vectors": 2, "further_vector_after": 2},
    {"learning_rate": 1e-1},
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-4), (torch.float64, 1e-7)])
@pytest.mark.parametrize("common", [{}, {"per_image": True}, {"norm": "fixed"}, {"norm": "decayed"}])
def test_a_sweep_is_its_runs_one_by_one(dtype, tolerance, common):
    pipeline = tiny.pipeline()
    pipeline.to(dtype)
    configs = [config(steps=5, checkpoints=(2, 4), **run, **common) for run in SWEEP]
    together = inversion.invert(pipeline, images(), configs=configs)
    for settings, found in zip(configs, together, strict=True):
        alone = inversion.invert(pipeline, images(), configs=[settings])[0]
        assert sorted(found.checkpoints) == [2, 4, 5]
        for name in ("loss", "moved"):
            assert torch.allclose(found.history[name], alone.history[name], rtol=10 * tolerance), name
        assert found.initial.shape == found.rows.shape == alone.rows.shape and len(found.rows) == settings.vectors
        assert torch.allclose(found.rows, alone.rows, rtol=tolerance, atol=tolerance)
        assert torch.allclose(found.image_rows, alone.image_rows, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("most", [3, 2])
def test_a_batch_that_does_not_fit_passes_in_parts(exact, most):
    configs = [config(batch_size=4, learning_rate=rate) for rate in (1e-2, 1e-3)]
    whole, parts = (inversion.invert(exact, images(), configs=configs, most=n) for n in (0, most))
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one.rows, other.rows, atol=1e-7)


def test_a_sweep_goes_on_beside_a_run_that_fails(exact):
    rates = (1e-3, 1e300, 1e-2)
    together = inversion.invert(exact, images(), configs=[config(steps=4, learning_rate=rate) for rate in rates])
    assert [found.failed_at is None for found in together] == [True, False, True]
    for found, rate in zip(together, rates, strict=True):
        if found.failed_at is None:
            assert torch.allclose(found.rows, one(exact, steps=4, learning_rate=rate).rows, atol=1e-7)


def test_runs_that_differ_too_much_cannot_share_a_batch(pipeline):
    with pytest.raises(ValueError, match="batch_size"):
        inversion.invert(pipeline, images(), configs=[config(), config(batch_size=3)])


def test_vectors_join_one_by_one():
    progressive = config(steps=30, vectors=3, further_vector_after=10)
    assert [inversion.vectors_at(progressive, step) for step in (0, 9, 10, 20, 29)] == [1, 1, 2, 3, 3]
    assert inversion.vectors_at(config(vectors=3), 0) == 3


def test_a_row_that_has_not_joined_rests(pipeline):
    found = one(pipeline, steps=3, vectors=2, further_vector_after=2, checkpoints=(2,))
    assert len(found.checkpoints[2]) == 1 and len(found.rows) == 2
    late = one(pipeline, steps=1, vectors=2, further_vector_after=5)
    assert len(late.rows) == 1


@pytest.mark.parametrize("norm", ["free", "fixed", "decayed"])
def test_a_row_that_joins_late_starts_where_it_would_have_and_as_a_first_one_does(pipeline, norm):
    found = one(pipeline, steps=5, vectors=2, further_vector_after=4, checkpoints=(4,), norm=norm, initializer="random")
    first = one(pipeline, steps=1, vectors=2, norm=norm, initializer="random")
    late, early = (found.rows - found.initial)[1], (first.rows - first.initial)[1]
    if norm == "free":
        assert late.abs().max() <= config().learning_rate * 1.01, "one step of Adam"
    assert late.norm() == pytest.approx(early.norm().item(), rel=0.1)


def test_every_image_has_a_row_of_its_own(pipeline):
    found = one(pipeline, per_image=True, steps=1, batch_size=1)
    moved = (found.image_rows != found.initial).any(dim=1)
    assert found.rows.shape == (1, tiny.WIDTH) and not torch.equal(found.rows, found.initial)
    assert found.image_rows.shape == (3, tiny.WIDTH) and moved.sum() == 1


def test_a_fixed_norm_stays_that_of_words(pipeline):
    found = one(pipeline, norm="fixed", learning_rate=0.1)
    length = torch.tensor(inversion.mean_length(pipeline))
    assert torch.allclose(found.initial.norm(), length) and torch.allclose(found.rows.norm(), length)
    cosine = torch.nn.functional.cosine_similarity(found.initial, found.rows).item()
    assert 0 < 1 - cosine < 1 - math.cos(0.3), "three steps of 0.1 radian"


def test_a_decayed_norm_approaches_that_of_words(pipeline):
    length = inversion.mean_length(pipeline)
    free, decayed = (one(pipeline, initializer="random", learning_rate=5e-3, norm=norm) for norm in ("free", "decayed"))
    assert abs(decayed.rows.norm() - length) < abs(free.rows.norm() - length)


def test_a_random_start_is_like_the_words(pipeline):
    rows = inversion.initial_rows(pipeline, config(initializer="random"), vectors=30, images=20)
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert torch.allclose(rows.std(), table.std(), rtol=0.1) and len(rows.unique(dim=0)) == 50


def test_a_pull_keeps_the_row_near_its_start(pipeline):
    free, pulled = (one(pipeline, steps=10, l2=l2) for l2 in (0.0, 100.0))
    assert (pulled.rows - pulled.initial).norm() < (free.rows - free.initial).norm()


def test_the_loss_falls_on_fixed_noise(pipeline, monkeypatch):
    """With the same draws at every step the objective is deterministic and must go down."""
    draw = inversion.Plan.step
    monkeypatch.setattr(inversion.Plan, "step", lambda plan, index: draw(plan, 0))
    losses = one(pipeline, steps=30).history["loss"].tolist()
    assert losses[-1] < losses[0]
    assert sorted(losses, reverse=True)[:3] == losses[:3]


def test_the_same_seed_gives_the_same_row(pipeline):
    assert torch.equal(one(pipeline).rows, one(pipeline).rows)
    assert not torch.equal(one(pipeline).rows, one(pipeline, seed=1).rows)


def test_the_gradient_is_that_of_an_added_token(pipeline):
    """One step against the textbook way: the token added to the tokenizer and the table resized."""
    ours = one(pipeline, steps=1).history
    plain = tiny.pipeline()
    plain.tokenizer = copy.deepcopy(plain.tokenizer)
    plain.load_textual_inversion({"<s*>": inversion.word_rows(pipeline, "character")})
    table = plain.text_encoder.get_input_embeddings().weight.requires_grad_(True)
    texts = inversion.templates("object")
    schedule = inversion.training_schedule(plain.scheduler)
    step = inversion.Plan(
        seed=0, images=3, templates=len(texts), batch_size=2, latent_shape=(4, 8, 8), timesteps=1000,
        flip_probability=0.0,
    ).step(0)  # fmt: skip
    prompts = [texts[i].replace("S*", "<s*>") for i in step.templates]
    ids = plain.tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids
    states = plain.text_encoder(ids).last_hidden_state[None]
    latents = inversion.latent_moments(plain.vae, images()).draw(step)
    (loss,) = inversion.denoising_losses(inversion.predictor(plain.unet), schedule, latents, states, step)
    loss.backward()
    assert ours["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert ours["gradient_norm"].item() == pytest.approx(table.grad[-1].norm().item(), rel=1e-4)


def test_the_usual_rate_goes_with_the_size_of_words(pipeline):
    before = inversion.usual_learning_rate(pipeline)
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert before == pytest.approx(table.square().mean().sqrt().item() / 3)
    with torch.no_grad():
        table.mul_(2)
        try:
            assert inversion.usual_learning_rate(pipeline) == pytest.approx(2 * before)
        finally:
            table.mul_(0.5)


def test_a_word_row_is_the_mean_of_its_words(pipeline):
    table = pipeline.text_encoder.get_input_embeddings().weight
    ids = inversion.tokens.class_word_ids(pipeline.tokenizer, "toy dog")
    assert torch.allclose(inversion.word_rows(pipeline, "toy dog"), table[ids].mean(0))
    with pytest.raises(InputError, match="zebra"):
        one(pipeline, class_word="zebra")


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_other_prediction_types_train(prediction_type):
    found = one(tiny.pipeline(prediction_type=prediction_type))
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
