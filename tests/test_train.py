"""The loop, the objective and the VAE's moments."""

import pytest
import tiny
import torch

from helpers import train
from helpers.plan import Plan


def plan(**changes):
    values = {"seed": 0, "images": 2, "templates": 1, "batch_size": 4, "latent_shape": (4, 8, 8), "timesteps": 1000}
    return Plan(**{**values, "flip_probability": 0.5, **changes})


def images(count=2):
    values = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    return values.to(torch.uint8)


def quadratic(parameter):
    return lambda step: ((parameter - 1) ** 2).sum()


def test_the_loop_is_adam_and_yields_every_step():
    ours, theirs = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    state = train.adam([ours], learning_rate=0.1)
    records = list(train.train(state, loss=quadratic(ours), plan=plan(), steps=5))
    optimizer = torch.optim.Adam([theirs], lr=0.1, weight_decay=0)
    for _ in range(5):
        optimizer.zero_grad()
        quadratic(theirs)(None).backward()
        optimizer.step()
    assert torch.equal(ours, theirs)
    assert [record.step for record in records] == list(range(5))
    assert records[0].loss == pytest.approx(3.0) and records[0].gradient_norm == pytest.approx(12**0.5)


def test_a_state_goes_on_where_it_stopped():
    whole, halves = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    list(train.train(train.adam([whole], learning_rate=0.1), loss=quadratic(whole), plan=plan(), steps=6))
    state = train.adam([halves], learning_rate=0.1)
    list(train.train(state, loss=quadratic(halves), plan=plan(), steps=2))
    list(train.train(state, loss=quadratic(halves), plan=plan(), steps=6))
    assert torch.equal(whole, halves)


def test_a_step_that_is_not_finite_ends_the_training_and_changes_nothing(caplog):
    parameter = torch.zeros(1, requires_grad=True)
    state = train.adam([parameter], learning_rate=0.1)

    def loss(step):
        return ((parameter - 1) ** 2).sum() * (float("nan") if state.step == 2 else 1.0)

    records = list(train.train(state, loss=loss, plan=plan(), steps=9))
    assert (len(records), state.failed_at, state.step) == (3, 2, 2)
    assert torch.isfinite(parameter).all() and parameter != 0
    assert "step 2 is not finite" in caplog.text


def test_moments_draw_what_the_vae_draws():
    vae = tiny.pipeline().vae
    moments = train.latent_moments(vae, images())
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
    schedule = train.training_schedule(pipeline.scheduler)
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
        def forward(self, seen, timesteps, encoder_hidden_states):
            assert torch.allclose(seen, noisy, atol=1e-5)
            return type("Output", (), {"sample": perfect})

    pipeline.unet = Unet()
    assert train.denoising_loss(pipeline, schedule, latents, torch.zeros(4, 1, 1), step) < 1e-10


def test_an_unknown_prediction_type_is_an_error():
    schedule = train.training_schedule(tiny.pipeline().scheduler)
    schedule.register_to_config(prediction_type="flow")
    with pytest.raises(ValueError, match="flow"):
        train.prediction_target(schedule, *[torch.zeros(1)] * 3)
