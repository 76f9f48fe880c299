"""Adapters of many runs in one batch are PEFT's adapters one by one."""

import pytest
import tiny
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.utils import set_peft_model_state_dict

from helpers import lora

RANK, ALPHA = 2, 6.0


def random_adapters(shapes, runs):
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn((runs, *shape), generator=g) / 4 for name, shape in shapes.items()}


def inputs(runs, batch=2):
    g = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(shape, generator=g)  # noqa: E731
    return draw(runs * batch, 4, 8, 8), torch.arange(runs * batch) * 100, draw(runs * batch, 5, tiny.WIDTH)


def with_peft(unet: UNet2DConditionModel, adapters, targets) -> UNet2DConditionModel:
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(targets)))
    state = {lora.peft_name(name): tensor for name, tensor in lora.peft_layout(adapters).items()}
    missing = set_peft_model_state_dict(unet, state)
    assert not missing.unexpected_keys
    return unet


@pytest.mark.parametrize("targets", [lora.ATTENTION, (*lora.ATTENTION, *lora.CONVOLUTIONS)])
def test_a_batch_of_runs_is_peft_run_by_run(targets):
    unet = tiny.pipeline().unet
    modules = lora.adapted_modules(unet, targets)
    adapters = random_adapters(lora.adapter_shapes(modules, RANK), runs=3)
    noisy, timesteps, states = inputs(3)
    plain = unet(noisy, timesteps, encoder_hidden_states=states).sample
    with lora.attached(modules, adapters, scale=ALPHA / RANK):
        together = unet(noisy, timesteps, encoder_hidden_states=states).sample.unflatten(0, (3, 2))
    assert torch.equal(unet(noisy, timesteps, encoder_hidden_states=states).sample, plain), "nothing is left behind"
    for r in range(3):
        reference = with_peft(tiny.pipeline().unet, {name: tensor[r] for name, tensor in adapters.items()}, targets)
        block = slice(2 * r, 2 * r + 2)
        expected = reference(noisy[block], timesteps[block], encoder_hidden_states=states[block]).sample
        assert (expected - plain[block]).abs().max() > 1e-3
        assert torch.allclose(together[r], expected, atol=1e-5)


def test_adapters_start_as_pefts_do():
    modules = lora.adapted_modules(tiny.pipeline().unet, lora.ATTENTION)
    ours = lora.initial_adapters(lora.adapter_shapes(modules, 8), seed=0)
    theirs = tiny.pipeline().unet
    theirs.add_adapter(LoraConfig(r=8, target_modules=list(lora.ATTENTION)))
    state = {name.replace(".default", ""): p for name, p in theirs.named_parameters() if "lora_" in name}
    assert {lora.peft_name(name): tensor.shape for name, tensor in ours.items()} == {
        n: p.shape for n, p in state.items()
    }
    for name, tensor in ours.items():
        reference = state[lora.peft_name(name)]
        assert tensor.abs().max() <= 1 / tensor.shape[1] ** 0.5 and not (name.endswith(".up") and tensor.any())
        assert abs(tensor.std() - reference.std()) < 0.1


def test_the_norm_of_the_change_is_that_of_the_product():
    modules = lora.adapted_modules(tiny.pipeline().unet, (*lora.ATTENTION, *lora.CONVOLUTIONS))
    adapters = random_adapters(lora.adapter_shapes(modules, RANK), runs=2)
    expected = sum(
        torch.einsum("rok,rk...->ro...", adapters[f"{name}.up"], adapters[f"{name}.down"]).flatten(1).square().sum(1)
        for name in modules
    )
    assert torch.allclose(lora.merged_norm(adapters, scale=3.0), 3 * expected.sqrt(), rtol=1e-4)


def test_an_unknown_target_is_an_error():
    with pytest.raises(ValueError, match="to_nothing"):
        lora.adapted_modules(tiny.pipeline().unet, ("to_q", "to_nothing"))


def test_plain_diffusers_draws_with_the_exported_file(tmp_path):
    pipeline = tiny.pipeline()
    modules = lora.adapted_modules(pipeline.unet, lora.ATTENTION)
    adapters = random_adapters(lora.adapter_shapes(modules, RANK), runs=1)
    noisy, timesteps, states = inputs(1)
    with lora.attached(modules, adapters, scale=ALPHA / RANK):
        expected = pipeline.unet(noisy, timesteps, encoder_hidden_states=states).sample
    one = {name: tensor[0] for name, tensor in adapters.items()}
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "mine.txt").touch()
    lora.save_lora(tmp_path / "lora", one, rank=RANK, alpha=ALPHA, targets=lora.ATTENTION)
    names = sorted(path.name for path in (tmp_path / "lora").iterdir())
    assert names == ["mine.txt", "pytorch_lora_weights.safetensors"]
    pipeline.load_lora_weights(tmp_path / "lora")
    found = pipeline.unet(noisy, timesteps, encoder_hidden_states=states).sample
    assert torch.allclose(found, expected, atol=1e-5)
