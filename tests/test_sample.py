"""Sampling: plain diffusers' pictures, whatever the packing."""

import copy

import pytest
import tiny
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from safetensors.torch import load_file

from helpers import lora
from helpers.artifacts import save_learned_embeds
from helpers.config import InputError, SamplingConfig
from helpers.sample import ORIGINAL, Learned, initial_latents, sample, sample_states
from helpers.tokens import encode, tokenize

PROMPTS = ["a photo of a dog", "a toy on the moon", "a photo of a dog"]


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


def config(**changes):
    return SamplingConfig(**{"steps": 4, "batch_size": 2, "guidance_scale": 5.0, **changes})


def plain(pipeline, prompts, latents, *, solver=DPMSolverMultistepScheduler, **options):
    """Images [N, 3, S, S] uint8 of StableDiffusionPipeline.__call__ with a fresh solver."""
    own = pipeline.scheduler
    pipeline.scheduler = solver.from_config(own.config)
    drawn = pipeline(prompts, latents=latents, num_inference_steps=4, output_type="np", **options).images
    pipeline.scheduler = own
    return (torch.from_numpy(drawn) * 255).round().to(torch.uint8).permute(0, 3, 1, 2)


def furthest(one, other):
    return (one.int() - other.int()).abs().max().item()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_pictures_are_those_of_plain_diffusers(prediction_type, guidance_scale):
    pipeline = tiny.pipeline(prediction_type=prediction_type)
    latents = initial_latents((4, 8, 8), indices=[0, 1, 7], seed=0)
    ours = sample(pipeline, PROMPTS, indices=[0, 1, 7], config=config(guidance_scale=guidance_scale))
    assert ours.shape == (3, 3, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE) and ours.dtype == torch.uint8
    assert furthest(ours, plain(pipeline, PROMPTS, latents, guidance_scale=guidance_scale)) <= 2
    assert ours.float().std() > 1


def test_ddim_is_that_of_plain_diffusers(pipeline):
    latents = initial_latents((4, 8, 8), indices=[0, 1, 2], seed=0)
    ours = sample(pipeline, PROMPTS, indices=[0, 1, 2], config=config(solver="ddim"))
    assert furthest(ours, plain(pipeline, PROMPTS, latents, guidance_scale=5.0, solver=DDIMScheduler)) <= 2
    assert not torch.equal(ours, sample(pipeline, PROMPTS, indices=[0, 1, 2], config=config()))


def two_runs(pipeline):
    """Rows and adapters of two runs, random and large enough to show."""
    g = torch.Generator().manual_seed(0)

    def random(model, targets):
        shapes = lora.adapter_shapes(lora.adapted_modules(model, targets), 2)
        return {name: torch.randn((2, *shape), generator=g) / 3 for name, shape in shapes.items()}

    rows = tuple(torch.randn(vectors, tiny.WIDTH, generator=g) for vectors in (1, 2))
    return Learned(
        rows=rows,
        unet=random(pipeline.unet, lora.ATTENTION),
        text=random(pipeline.text_encoder, lora.TEXT_ATTENTION),
        scale=1.5,
    )


@pytest.mark.parametrize("original_unconditional", [False, True])
def test_runs_packed_together_are_drawn_as_alone(pipeline, original_unconditional):
    learned, settings = two_runs(pipeline), config(batch_size=4, original_unconditional=original_unconditional)
    prompts, runs = ["a photo of S*", "S* on the moon", "a photo of a dog", "a photo of S*"], [1, 0, ORIGINAL, 0]
    together = sample(pipeline, prompts, indices=[3, 4, 5, 3], config=settings, learned=learned, runs=runs)
    for n, run in enumerate(runs):
        alone = sample(pipeline, [prompts[n]], indices=[[3, 4, 5, 3][n]], config=settings, learned=learned, runs=[run])
        assert furthest(alone, together[n : n + 1]) <= 1
    unchanged = sample(pipeline, ["a photo of a dog"], indices=[5], config=settings)
    assert furthest(unchanged, together[2:3]) <= 1 and furthest(together[0], together[3]) > 5


def test_the_unconditional_branch_can_be_the_original_models(pipeline):
    learned = two_runs(pipeline)
    tuned, original = (
        sample(pipeline, ["a photo of S*"], indices=[0], learned=learned, config=config(original_unconditional=flag))
        for flag in (False, True)
    )
    assert furthest(tuned, original) > 2


def test_exported_adapters_draw_the_same_in_plain_diffusers(tmp_path):
    pipeline, learned = tiny.pipeline(), two_runs(tiny.pipeline())
    latents = initial_latents((4, 8, 8), indices=[0, 1], seed=0)
    only = Learned(unet=learned.unet, text=learned.text, scale=1.5)
    prompts = ["a photo of a dog", "a toy on the moon"]
    ours = sample(pipeline, prompts, indices=[0, 1], config=config(), learned=only, runs=[1, 1])
    unet, text = ({name: t[1] for name, t in part.items()} for part in (learned.unet, learned.text))
    lora.save_lora(tmp_path / "lora", unet, rank=2, alpha=3.0, targets=lora.ATTENTION, text_encoder=text)
    pipeline.load_lora_weights(tmp_path / "lora")
    assert furthest(ours, plain(pipeline, prompts, latents, guidance_scale=5.0)) <= 2


def test_exported_rows_draw_the_same_in_plain_diffusers(tmp_path):
    pipeline, rows = tiny.pipeline(), torch.randn(1, tiny.WIDTH)
    latents = initial_latents((4, 8, 8), indices=[0, 1], seed=0)
    ours = sample(
        pipeline, ["a photo of S*", "S* on the moon"], indices=[0, 1], config=config(), learned=Learned(rows=(rows,))
    )
    save_learned_embeds(tmp_path / "learned_embeds.safetensors", rows, placeholder="<s*>")
    assert load_file(tmp_path / "learned_embeds.safetensors")["<s*>"].shape == (tiny.WIDTH,)
    pipeline.tokenizer = copy.deepcopy(pipeline.tokenizer)
    pipeline.load_textual_inversion(str(tmp_path))
    assert furthest(ours, plain(pipeline, ["a photo of <s*>", "<s*> on the moon"], latents, guidance_scale=5.0)) <= 2


def test_packing_does_not_matter(pipeline):
    together = sample(pipeline, PROMPTS, indices=[4, 5, 6], config=config(batch_size=3))
    packed = sample(pipeline, PROMPTS, indices=[4, 5, 6], config=config(batch_size=2))
    alone = sample(pipeline, PROMPTS[2:], indices=[6], config=config(batch_size=2))
    assert furthest(together, packed) <= 1
    assert furthest(alone, packed[2:]) <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(pipeline):
    one, other = (sample(pipeline, PROMPTS, indices=[0, 1, 2], config=config()) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, sample(pipeline, PROMPTS, indices=[0, 1, 2], config=config(seed=1)))
    assert not torch.equal(one[0], one[2]), "another index, other latents"


@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_states_are_drawn_as_their_prompts(pipeline, guidance_scale):
    states = encode(pipeline.text_encoder, tokenize(pipeline.tokenizer, PROMPTS[:2]))
    settings = config(guidance_scale=guidance_scale)
    given = sample_states(pipeline, states, which=[0, 1, 0], indices=[4, 5, 6], config=settings)
    assert furthest(given, sample(pipeline, PROMPTS, indices=[4, 5, 6], config=settings)) <= 1


def test_progress_counts_images(pipeline):
    done = []
    sample(pipeline, PROMPTS, indices=[0, 1, 2], config=config(), on_batch=done.append)
    assert done == [2, 1]


def test_guidance_below_one_is_refused():
    with pytest.raises(InputError, match="guidance_scale"):
        config(guidance_scale=0.5)
