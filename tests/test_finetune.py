"""A sweep of finetunings is PEFT's, run by run."""

import pytest
import tiny
import torch
from peft import LoraConfig
from peft.utils import set_peft_model_state_dict

from helpers import finetune, lora, terms, tokens
from helpers.config import FinetuneConfig
from helpers.models import pipeline_fingerprint
from helpers.objective import denoising_losses, latent_moments, predictor, training_schedule
from helpers.plan import Plan
from helpers.prompts import templates


def images(count=3):
    return torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def config(**changes):
    return FinetuneConfig(**{"subject": "character", "rank": 2, "steps": 3, "batch_size": 2, **changes})


def one(pipeline, **changes):
    return finetune.finetune(pipeline, images(), configs=[config(**changes)])[0]


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


@pytest.fixture(scope="module")
def exact():
    """In float64: Adam's first step is the gradient's sign, so a rounding error in float32 may turn a whole step."""
    pipeline = tiny.pipeline()
    pipeline.to(torch.float64)
    return pipeline


def by_peft(settings, dtype):
    """The textbook way: PEFT's adapter, torch's Adam, one run; losses and trained weights by PEFT's names."""
    pipeline = tiny.pipeline()
    pipeline.to(dtype)
    modules = lora.adapted_modules(pipeline.unet, settings.targets)
    shapes = {f"unet {name}": shape for name, shape in lora.adapter_shapes(modules, settings.rank).items()}
    begun = finetune.of_part(lora.initial_adapters(shapes, seed=settings.seed), "unet")
    pipeline.unet.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets))
    )
    set_peft_model_state_dict(
        pipeline.unet, {lora.peft_name(name): t.to(dtype) for name, t in lora.peft_layout(begun).items()}
    )
    parameters = {name: p for name, p in pipeline.unet.named_parameters() if "lora_" in name}
    for parameter in parameters.values():
        parameter.data = parameter.data.to(dtype)
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters.values(), lr=settings.learning_rate)
    texts = templates(settings.template_set)
    moments, schedule = latent_moments(pipeline.vae, images()), training_schedule(pipeline.scheduler)
    plan = Plan(
        seed=0, images=3, templates=len(texts), batch_size=2, latent_shape=(4, 8, 8), timesteps=1000,
        flip_probability=0.0,
    )  # fmt: skip
    ids = tokens.tokenize(pipeline.tokenizer, [text.replace("S*", settings.subject) for text in texts])
    losses = []
    for index in range(settings.steps):
        step = plan.step(index)
        states = tokens.encode(pipeline.text_encoder, ids[step.templates])[None]
        (loss,) = denoising_losses(predictor(pipeline.unet), schedule, moments.draw(step), states, step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), settings.largest_gradient)
        optimizer.step()
        losses.append(loss.item())
    return losses, {name.replace(".default", ""): p.detach() for name, p in parameters.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-3), (torch.float64, 1e-6)])
@pytest.mark.parametrize("targets", [lora.ATTENTION, (*lora.ATTENTION, "conv1")])
def test_a_sweep_is_pefts_runs_one_by_one(dtype, tolerance, targets):
    pipeline = tiny.pipeline()
    pipeline.to(dtype)
    rates = (1e-3, 1e-2, 1e-4)
    configs = [config(targets=targets, learning_rate=rate) for rate in rates]
    for found in finetune.finetune(pipeline, images(), configs=configs):
        losses, weights = by_peft(found.config, dtype)
        assert found.history["loss"].tolist() == pytest.approx(losses, rel=tolerance)
        for name, tensor in lora.peft_layout(found.checkpoints[3]).items():
            reference = weights[lora.peft_name(name)]
            assert (tensor - reference).norm() <= tolerance * reference.norm(), name


def test_a_sweep_goes_on_beside_a_run_that_fails(exact):
    rates = (1e-3, 1e300)
    good, bad = finetune.finetune(exact, images(), configs=[config(steps=4, learning_rate=rate) for rate in rates])
    alone = one(exact, steps=4, learning_rate=1e-3)
    assert (good.failed_at, bad.failed_at) == (None, 1)
    assert all(torch.allclose(good.checkpoints[4][name], t, atol=1e-6) for name, t in alone.checkpoints[4].items())


def test_the_model_is_left_as_it_was(pipeline):
    before = pipeline_fingerprint(pipeline)
    found = one(pipeline, checkpoints=(2,))
    assert pipeline_fingerprint(pipeline) == before and sorted(found.checkpoints) == [2, 3]
    assert all(tensor.any() for tensor in found.checkpoints[3].values()), "every adapter was trained"


def test_a_pivot_stays_unless_it_is_trained_too(exact):
    pivots = torch.randn(2, 1, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    configs = [config(subject="S*", token_learning_rate=rate) for rate in (0.0, 1e-2)]
    still, moved = finetune.finetune(exact, images(), configs=configs, rows=pivots)
    assert torch.equal(still.rows[3], pivots[0]) and not torch.equal(moved.rows[3], pivots[1])
    fixed = finetune.finetune(exact, images(), configs=configs[:1], rows=pivots[:1])[0]
    assert torch.allclose(fixed.history["loss"], still.history["loss"], rtol=1e-5)
    assert torch.allclose(fixed.history["gradient_norm"], still.history["gradient_norm"], rtol=1e-4)
    for name, tensor in fixed.checkpoints[3].items():
        assert torch.allclose(still.checkpoints[3][name], tensor, atol=1e-6), name
    with pytest.raises(ValueError, match="rows are needed"):
        one(exact, subject="S*")


def test_the_text_encoder_can_be_adapted(pipeline):
    found = one(pipeline, text_encoder=True)
    assert found.text_checkpoints[3] and all(tensor.any() for tensor in found.text_checkpoints[3].values())
    assert not one(pipeline).text_checkpoints[3]


def test_timesteps_can_be_limited(pipeline, monkeypatch):
    seen = []
    losses = finetune.noised
    monkeypatch.setattr(
        finetune,
        "noised",
        lambda *a, **k: seen.append(a[-1].timesteps) or losses(*a, **k),
    )
    one(pipeline, timestep_range=(0.1, 0.2), steps=8)
    assert torch.cat(seen).min() >= 100 and torch.cat(seen).max() < 200


def test_a_masked_loss_looks_at_the_concept(pipeline):
    whole, half = torch.ones(3, 32, 32, dtype=torch.bool), torch.zeros(3, 32, 32, dtype=torch.bool)
    half[:, :, :16] = True
    masked = config(masked=True)
    as_before = finetune.finetune(pipeline, images(), configs=[masked], masks=whole)[0]
    assert torch.allclose(as_before.history["loss"], one(pipeline).history["loss"])
    weights = finetune.mask_weights(half, (8, 8))
    assert (
        weights.shape == (2, 3, 1, 8, 8) and (weights[0, :, :, :, :4] == 2).all() and (weights[1, ..., 4:] == 2).all()
    )
    looked = finetune.finetune(pipeline, images(), configs=[masked], masks=half)[0]
    assert not torch.allclose(looked.history["loss"], as_before.history["loss"])
    with pytest.raises(ValueError, match="masks"):
        finetune.finetune(pipeline, images(), configs=[masked])


@pytest.mark.parametrize("most", [3, 2])
def test_a_batch_that_does_not_fit_passes_in_parts(pipeline, most):
    configs = [config(batch_size=4, learning_rate=rate, text_encoder=True) for rate in (1e-2, 1e-3)]
    whole, parts = (finetune.finetune(pipeline, images(), configs=configs, most=n) for n in (0, most))
    for one_run, other in zip(whole, parts, strict=True):
        for name, tensor in one_run.checkpoints[3].items():
            assert (tensor - other.checkpoints[3][name]).norm() <= 5e-3 * tensor.norm(), name


def test_a_frozen_prediction_without_a_token_is_made_once_for_all_runs(pipeline):
    passed = []
    count = pipeline.unet.register_forward_hook(lambda module, given, output: passed.append(len(output.sample)))
    ids = tokens.tokenize(pipeline.tokenizer, ["a photo of toy"])
    class_states = tokens.encode(pipeline.text_encoder, ids).expand(1, 2, -1, -1)  # one for all runs

    def near_the_class(problem):
        noisy, timesteps = problem.latents + problem.step.noise, problem.step.timesteps
        known = problem.frozen(noisy, timesteps, class_states)
        return (
            (problem.predict(noisy, timesteps, class_states.expand(3, -1, -1, -1)) - known).square().mean((1, 2, 3, 4))
        )

    configs = [config(prior_weight=1.0, learning_rate=rate, steps=1) for rate in (1e-2, 1e-3, 1e-4)]
    finetune.finetune(pipeline, images(), configs=configs, terms={"prior": near_the_class})
    count.remove()
    assert sorted(passed) == [2, 3 * 2, 3 * 2]


def test_terms_see_the_frozen_model(pipeline):
    distances = []

    def away(problem):
        arguments = problem.step.noise, problem.step.timesteps, problem.states
        distances.append((problem.predict(*arguments) - problem.frozen(*arguments)).square().mean((1, 2, 3, 4)))
        return distances[-1]

    configs = [config(prior_weight=weight, learning_rate=1e-2, steps=12) for weight in (0.0, 100.0)]
    finetune.finetune(pipeline, images(), configs=configs, terms={"prior": away})
    assert not distances[0].any(), "the adapters start as nothing"
    assert distances[-1][0] > distances[-1][1] > 0


def test_prior_preservation_is_the_loss_on_the_classs_pictures(pipeline):
    limited = config(timestep_range=(0.1, 0.2))
    term = terms.prior_preservation(pipeline, images(5), prompt="a photo of character", config=limited)
    weights = [0.0, 1.0]
    configs = [config(prior_weight=weight, steps=1) for weight in weights]
    without, with_prior = finetune.finetune(pipeline, images(), configs=configs, terms={"prior": term})
    assert without.history["loss"] < with_prior.history["loss"] < 4 * without.history["loss"]


def test_runs_that_differ_too_much_cannot_share_a_batch(pipeline):
    with pytest.raises(ValueError, match="rank"):
        finetune.finetune(pipeline, images(), configs=[config(), config(rank=3)])
