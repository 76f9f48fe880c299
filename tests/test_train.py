"""The loop, the objective and the VAE's moments."""

import pytest
import tiny
import torch

from helpers import objective, train
from helpers.plan import Plan


def plan(**changes):
    values = {"seed": 0, "images": 2, "templates": 1, "batch_size": 4, "latent_shape": (4, 8, 8), "timesteps": 1000}
    return Plan(**{**values, "flip_probability": 0.5, **changes})


def images(count=2):
    values = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    return values.to(torch.uint8)


def quadratic(step, values):
    return ((values - 1) ** 2).sum(1)


def begin(runs=1, rate=0.1, size=3):
    return train.start(torch.zeros(runs, size), learning_rates=torch.full((runs,), rate))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_run_is_adam_at_its_own_rate(dtype):
    rates = torch.tensor([0.1, 0.01, 1.0], dtype=dtype)
    state = train.start(torch.zeros(3, 4, dtype=dtype), learning_rates=rates)
    records = list(train.train(state, loss=quadratic, plan=plan(), steps=5))
    for values, rate in zip(state.values, rates, strict=True):
        theirs = torch.zeros(4, dtype=dtype, requires_grad=True)
        optimizer = torch.optim.Adam([theirs], lr=rate.item(), weight_decay=0)
        for _ in range(5):
            optimizer.zero_grad()
            ((theirs - 1) ** 2).sum().backward()
            optimizer.step()
        assert torch.allclose(values, theirs, rtol=1e-12 if dtype == torch.float64 else 1e-5)
    assert [record.step for record in records] == list(range(5))
    assert records[0].loss.tolist() == [4.0] * 3 and records[0].gradient_norm.tolist() == [4.0] * 3
    assert torch.allclose(records[0].moved, rates * 2), "Adam's first step is the rate in every entry"


def test_a_state_goes_on_where_it_stopped():
    whole, halves = begin(), begin()
    list(train.train(whole, loss=quadratic, plan=plan(), steps=6))
    list(train.train(halves, loss=quadratic, plan=plan(), steps=2))
    list(train.train(halves, loss=quadratic, plan=plan(), steps=6))
    assert torch.equal(whole.values, halves.values)


def test_a_run_that_is_not_finite_stays_and_leaves_the_others_alone(caplog):
    state, undisturbed = begin(runs=3), begin(runs=3)

    def loss(step, values):
        spoiled = torch.tensor([1.0, float("nan") if step.index >= 2 else 1.0, 1.0])
        return quadratic(step, values) * spoiled

    records = list(train.train(state, loss=loss, plan=plan(), steps=6))
    list(train.train(undisturbed, loss=quadratic, plan=plan(), steps=6))
    assert state.failed_at.tolist() == [-1, 2, -1] and len(records) == 6
    assert torch.equal(state.values[[0, 2]], undisturbed.values[[0, 2]])
    list(train.train(kept := begin(runs=3), loss=quadratic, plan=plan(), steps=2))
    assert torch.equal(state.values[1], kept.values[1]), "the values before the step that failed"
    assert records[3].moved[1] == 0
    assert "step 2 is not finite in run [1]" in caplog.text


def test_a_training_ends_when_all_runs_have_failed():
    state = begin(runs=2)
    records = list(train.train(state, loss=lambda s, v: quadratic(s, v) * float("inf"), plan=plan(), steps=9))
    assert len(records) == 1 and state.failed_at.tolist() == [0, 0] and not state.values.any()


def test_a_large_gradient_is_scaled_down_by_run():
    state, gradients = train.start(torch.tensor([[0.0], [0.9]]), learning_rates=torch.ones(2)), []

    def update(state, gradient):
        gradients.append(gradient)
        return state.values

    list(train.train(state, loss=quadratic, plan=plan(), steps=1, largest_gradient=1.0, update=update))
    assert torch.allclose(gradients[0], torch.tensor([[-1.0], [-0.2]]))


def test_packed_values_share_their_memory():
    tensors = {"a": torch.rand(2, 3, 4), "b": torch.rand(2, 5)}
    values = train.pack(tensors)
    again = train.unpack(values, {"a": (3, 4), "b": (5,)})
    assert values.shape == (2, 17) and all(torch.equal(again[name], tensors[name]) for name in tensors)
    again["b"].zero_()
    assert not values[:, 12:].any()


def test_moments_draw_what_the_vae_draws():
    vae = tiny.pipeline().vae
    moments = objective.latent_moments(vae, images())
    step = plan().step(3)
    drawn = moments.draw(step)
    assert step.flips.any() and not step.flips.all()
    for b in range(4):
        image = images()[step.images[b]].unsqueeze(0) / 127.5 - 1
        posterior = vae.encode(image.flip(-1) if step.flips[b] else image).latent_dist
        expected = (posterior.mean + posterior.std * step.vae_noise[b]) * vae.config.scaling_factor
        assert torch.allclose(drawn[b], expected[0], atol=1e-5)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_zero_for_a_perfect_prediction(prediction_type):
    pipeline = tiny.pipeline(prediction_type=prediction_type)
    schedule = objective.training_schedule(pipeline.scheduler)
    step = plan().step(0)
    latents = step.vae_noise
    alphas = schedule.alphas_cumprod[step.timesteps].view(-1, 1, 1, 1)
    noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * step.noise
    perfect = {
        "epsilon": step.noise,
        "v_prediction": alphas.sqrt() * step.noise - (1 - alphas).sqrt() * latents,
        "sample": latents,
    }[prediction_type]

    class Unet(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, seen, timesteps, encoder_hidden_states):
            assert torch.allclose(seen, noisy.repeat(2, 1, 1, 1), atol=1e-5)
            return type("Output", (), {"sample": perfect.repeat(2, 1, 1, 1)})

    predict = objective.predictor(Unet())
    assert (objective.denoising_losses(predict, schedule, latents, torch.zeros(2, 4, 1, 1), step) < 1e-10).all()


def test_an_unknown_prediction_type_is_an_error():
    schedule = objective.training_schedule(tiny.pipeline().scheduler)
    schedule.register_to_config(prediction_type="flow")
    with pytest.raises(ValueError, match="flow"):
        objective.prediction_target(schedule, *[torch.zeros(1)] * 3)
