"""Distances are in epsilon, deterministic, and zero where nothing moved."""

import pytest
import tiny
import torch

from helpers import distances, objective, tokens


def setup(prediction_type="epsilon"):
    pipeline = tiny.pipeline(prediction_type=prediction_type)
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    moments, schedule = objective.latent_moments(pipeline.vae, images), objective.training_schedule(pipeline.scheduler)
    states = tokens.encode(pipeline.text_encoder, tokens.tokenize(pipeline.tokenizer, ["a photo of toy", "dog"]))
    return distances.make_probe(moments, schedule, seed=0), objective.predictor(pipeline.unet), states


def test_a_probe_is_the_same_every_time_and_covers_the_schedule():
    (probe, predict, states), (again, _, _) = setup(), setup()
    assert torch.equal(probe.noisy, again.noisy) and torch.equal(probe.timesteps, again.timesteps)
    assert sorted((probe.timesteps * 16 // 1000).tolist()) == list(range(16))
    losses = [one.loss(one.predicted(predict, states)) for one in (probe, again)]
    assert torch.equal(*losses) and losses[0].shape == (2,)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_prediction_is_the_noise_itself(prediction_type):
    probe, _, _ = setup(prediction_type)
    target = objective.prediction_target(probe.schedule, probe.latents, probe.noise, probe.timesteps)

    perfect = target.expand(2, *target.shape)
    assert torch.allclose(probe.epsilon(perfect), probe.noise.expand(2, *target.shape), atol=1e-3)
    assert not probe.loss(perfect).any()


def test_function_distance_is_by_run():
    probe, predict, states = setup()
    epsilon = probe.epsilon(probe.predicted(predict, states))
    away = distances.function_distance(epsilon, epsilon[:1])
    assert away[0] == 0 and away[1] > 0
    assert distances.function_distance(epsilon, epsilon + 2).tolist() == pytest.approx([2.0, 2.0])


def test_rows_are_where_they_are():
    initial = torch.tensor([[[3.0, 4.0]], [[3.0, 4.0]]])
    found = distances.of_rows(torch.tensor([[[3.0, 4.0]], [[-6.0, -8.0]]]), initial)
    assert found["displacement"].tolist() == [0, 15] and found["norm"].tolist() == [5, 10]
    assert found["cosine_to_start"].tolist() == pytest.approx([1, -1])
