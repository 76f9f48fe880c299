"""A pipeline of Stable Diffusion's layout goes through training, sampling, scores and export unchanged."""

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from helpers import grid, store, sweep
from helpers.artifacts import export
from helpers.config import FinetuneConfig, InversionConfig, SamplingConfig
from helpers.finetune import of_part
from helpers.models import load_pipeline
from helpers.perform import perform
from helpers.sample import Learned, initial_latents, make_solver, sample
from helpers.store import load_runs


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def world(tmp_path_factory, request):
    """A folder with such a pipeline, a scorer and a concept."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny.layout_of_sd15(prediction_type=request.param).save_pretrained(folder / "model")
    tiny.save_scorer(folder / "scorer")
    (folder / "concept").mkdir()
    for n in range(2):
        pixels = np.random.default_rng(n).integers(0, 255, (140, 128, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "concept" / f"{n}.png")
    (folder / "edits.yaml").write_text("object: [a photo of S* next to a ball]")
    return folder


def run_config(world, training, pivot=None):
    sampling = SamplingConfig(steps=2, batch_size=2)
    evaluation = grid.EvaluationConfig(photos=2, edits=str(world / "edits.yaml"), edited=2, sampling=sampling)
    places = {"model": str(world / "model"), "scorer": str(world / "scorer"), "concept": str(world / "concept")}
    return grid.RunConfig(**places, training=training, pivot=pivot, evaluation=evaluation)


def finished(world, folder, config):
    """A run that is made, the tensors of its last checkpoint, and its rows."""
    ((run, status),) = perform((config,), folder=folder).items()
    assert status == store.FINISHED
    tensors = store.load_checkpoint(folder, run, config.training.steps)
    return run, tensors, load_runs(folder, committed=None)


def same_as_plain(world, pipe, learned, prompt, plain_prompt):
    """Whether plain diffusers draws the pictures of our sampler."""
    pipeline = load_pipeline(str(world / "model"), device="cpu")
    config = SamplingConfig(steps=2, batch_size=2)
    ours = sample(pipeline, [prompt] * 2, indices=[0, 1], config=config, learned=learned)
    pipe.scheduler = make_solver(pipeline, config)
    pipe.set_progress_bar_config(disable=True)
    latents = initial_latents((4, 16, 16), indices=[0, 1], seed=0)
    options = {"num_inference_steps": 2, "guidance_scale": config.guidance_scale, "output_type": "np"}
    theirs = pipe([plain_prompt] * 2, latents=latents, **options).images
    assert np.abs(theirs * 255 - ours.permute(0, 2, 3, 1).numpy()).max() <= 2


def test_inversion_from_training_to_plain_diffusers(world, tmp_path):
    config = run_config(world, InversionConfig(class_word="toy", steps=2, batch_size=2, learning_rate=0.1))
    run, tensors, rows = finished(world, tmp_path / "runs", config)
    assert len(rows) == 4 and rows["reconstruction_training"].notna().all()
    token, _ = export(tmp_path / "runs", run, tmp_path / "out", placeholder="<s>")
    pipe = StableDiffusionPipeline.from_pretrained(world / "model", safety_checker=None)
    pipe.load_textual_inversion(token)
    learned = Learned(rows=(tensors["rows"],))
    same_as_plain(world, pipe, learned, "a photo of S* on the moon", "a photo of <s> on the moon")


def test_pivotal_tuning_from_training_to_plain_diffusers(world, tmp_path):
    pivot = InversionConfig(class_word="toy", steps=1, batch_size=2)
    training = FinetuneConfig(learning_rate=1e-2, steps=2, batch_size=2, rank=2, alpha=4.0, text_encoder=True)
    run, tensors, rows = finished(world, tmp_path / "runs", run_config(world, training, pivot))
    assert len(rows) == 4
    token, _, adapters = export(tmp_path / "runs", run, tmp_path / "out", placeholder="<s>")
    pipe = StableDiffusionPipeline.from_pretrained(world / "model", safety_checker=None)
    pipe.load_textual_inversion(token)
    pipe.load_lora_weights(adapters)
    unet, text = ({name: tensor[None] for name, tensor in of_part(tensors, part).items()} for part in ("unet", "text"))
    learned = Learned(rows=(tensors["rows"],), unet=unet, text=text, scale=2.0)
    same_as_plain(world, pipe, learned, "a photo of S*", "a photo of <s>")


def test_both_layouts_are_stable_diffusions(world):
    pipeline = load_pipeline(str(world / "model"), device="cpu")
    assert pipeline.tokenizer.model_max_length == 77 and len(pipeline.unet.down_blocks) == 4
    assert isinstance(pipeline.text_encoder.dtype, torch.dtype)


def test_a_sweep_says_its_cost(world):
    config = run_config(world, InversionConfig(class_word="toy", steps=1))
    planned = sweep.planned_batches([config], "cpu")
    assert "1 runs and 4 pictures" in str(sweep.costs(planned, "cpu")[config.model])
