"""The embedded models as they were committed: what plain libraries make of them, and what their card says."""

import json
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from helpers.files import ROOT
from helpers.models import CHIBI, load_pipeline
from helpers.world import card, eye
from helpers.world.draw import draw
from helpers.world.measures import fresh_scenes
from helpers.world.reader import load_reader

PLAIN = """
import sys, torch, open_clip
from diffusers import StableDiffusionPipeline
folder = sys.argv[1]
pipeline = StableDiffusionPipeline.from_pretrained(folder + "/pipeline", safety_checker=None)
pipeline.set_progress_bar_config(disable=True)
places = ["on the moon", "on the beach", "in a forest", "in the desert"]
prompts = ["an anime illustration of a character " + place for place in places]
generator = torch.Generator().manual_seed(0)
images = pipeline(prompts, num_inference_steps=20, guidance_scale=4.0, generator=generator).images
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:" + folder + "/scorer")
tokenize = open_clip.get_tokenizer("local-dir:" + folder + "/scorer")
with torch.no_grad():
    pictures = model.eval().encode_image(torch.stack([preprocess(image) for image in images]), normalize=True)
    texts = model.encode_text(tokenize(prompts), normalize=True)
assert not any(name.split(".")[0] == "helpers" for name in sys.modules)
print(int(((pictures @ texts.T).argmax(1) == torch.arange(4)).sum()), "of 4;", images[0].size)
"""


def test_plain_diffusers_draws_and_plain_open_clip_agrees(tmp_path):
    command = [sys.executable, "-I", "-c", PLAIN, str(CHIBI)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    right, size = done.stdout.strip().split(" of 4; ")
    assert int(right) >= 3, "the scorer finds the background that was asked for"
    assert size == "(64, 64)"


def test_weights_are_safetensors_in_half_precision_and_small():
    files = [path for path in CHIBI.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 24e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}
    folders = {path.parent.relative_to(CHIBI).as_posix() for path in files if path.suffix == ".safetensors"}
    assert folders >= {"pipeline/unet", "pipeline/vae", "pipeline/text_encoder", "clip", "scorer", "reader"}


def test_the_word_is_at_index_five():
    tokenizer = CLIPTokenizer.from_pretrained(CHIBI / "pipeline" / "tokenizer")
    ids = tokenizer("an anime illustration of character").input_ids
    assert ids[5] == tokenizer("character").input_ids[1] and len(ids) == 7


@pytest.mark.parametrize("name", card.TARGETS)
def test_the_card_has_every_number(name):
    found = json.loads((CHIBI / "card.json").read_text())["numbers"][name]
    enough = 20 if name == "names_follow" else 200  # there are fewer names than pictures
    for key in card.bounds(name):
        number = found[key] if key else found
        assert number["low"] <= number["value"] <= number["high"] and number["n"] >= enough


@pytest.fixture
def committed():
    """Skip where somebody has trained anew: what people add to the card comes after that."""
    changed = ["git", "-C", str(ROOT), "diff", "--quiet", "HEAD", "--", "data/chibi/training.json"]
    if subprocess.run(changed, capture_output=True).returncode:
        pytest.skip("these models are not the committed ones")


def test_every_missed_target_has_its_reason(committed):
    about = json.loads((CHIBI / "card.json").read_text())
    assert {name for name, lines in about["missed"].items() if lines} <= set(about["reasons"])


def test_the_card_was_measured_on_these_weights():
    about = json.loads((CHIBI / "card.json").read_text())
    assert about["models"] == card.models_hash()
    assert about["bytes"] == card.sizes()
    assert about["training"] == json.loads((CHIBI / "training.json").read_text())
    assert (ROOT / "data" / "chibi" / "README.md").read_text() == card.model_card(about)


def test_the_pilot_and_the_check_by_eye_are_about_these_weights(committed):
    models = eye.fingerprint(load_pipeline("chibi"), load_reader(CHIBI / "reader"))
    assert eye.load_about(CHIBI / "pilot.json", models)["by_rate"] and len(eye.load_checked(models)["pictures"]) == 200


def test_latents_have_zero_mean_and_unit_variance():
    vae = AutoencoderKL.from_pretrained(CHIBI / "pipeline" / "vae")
    pictures = torch.stack([torch.from_numpy(draw(scene)[0].copy()) for scene in fresh_scenes(200)])
    with torch.no_grad():
        latents = vae.encode(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).latent_dist.mean
    assert vae.config.scaling_factor == 1.0
    assert latents.mean((0, 2, 3)).abs().max() < 0.1
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.1
