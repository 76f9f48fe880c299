"""The token that report 02 recommends, in plain diffusers."""

import subprocess
import sys

import numpy as np
import torch
from PIL import Image

from helpers import scores
from helpers.concepts import load_concept
from helpers.files import ROOT
from helpers.models import CHIBI
from helpers.scorers import load_scorer
from helpers.world.reader import load_reader, read

TOKEN = ROOT / "reports" / "full" / "02_inversion_tradeoff" / "learned_embeds.safetensors"
COUNT = 12
PLAIN = """
import sys
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

folder, token, out, count = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(folder + "/pipeline", use_safetensors=True)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
pipe.load_textual_inversion(token)
options = {"num_inference_steps": 20, "guidance_scale": 4.0}
for name, subject in (("token", "<s*>"), ("class", "a character")):
    draws = [torch.Generator().manual_seed(n) for n in range(int(count))]
    images = pipe([f"a photo of {subject} on the moon"] * int(count), generator=draws, **options).images
    for n, image in enumerate(images):
        image.save(f"{out}/{name}-{n}.png")
assert not any(name.split(".")[0] == "helpers" for name in sys.modules)
"""


def test_plain_diffusers_draws_the_learned_character_on_the_moon(tmp_path):
    command = [sys.executable, "-I", "-c", PLAIN, str(CHIBI), str(TOKEN), str(tmp_path), str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    drawn = {
        name: np.stack([np.array(Image.open(tmp_path / f"{name}-{n}.png")) for n in range(COUNT)])
        for name in ("token", "class")
    }
    read_as = read(load_reader(CHIBI / "reader"), drawn["token"])
    assert (read_as["background"] == "moon").mean() >= 0.5
    scorer, own = load_scorer("chibi", device="cpu"), load_concept("alba", size=64).score_images
    references = scores.embed_images(scorer, own)
    near = {
        name: scores.reconstruction(
            scores.embed_images(scorer, torch.from_numpy(pictures).permute(0, 3, 1, 2)), references
        ).mean()
        for name, pictures in drawn.items()
    }
    assert near["token"] > near["class"]
