"""Training the chibi world: exact after interruptions, in formats that libraries load themselves."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel

from helpers.config import InputError
from helpers.files import ROOT, folder_aside, write_json
from helpers.world import build
from helpers.world.build import PRESETS, exported
from helpers.world.card import history
from helpers.world.export import as_reloaded, save_clip, save_pipeline, text_tower
from helpers.world.fit import fit, learning_rate_at
from helpers.world.instruments import make_scorer, reader_loss, save_reader, save_scorer
from helpers.world.networks import make_clip, make_unet, make_vae, normalise_latents
from helpers.world.reader import Reader, load_reader, targets
from helpers.world.sampling import wide_scene
from helpers.world.stages import Site
from helpers.world.vocabulary import MAX_LENGTH, make_tokenizer


class Stopped(Exception):
    pass


def train_small(folder, *, stop_at=None):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss(step):
        if step == stop_at:
            raise Stopped
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        return (module(x) - x.sum(1, keepdim=True)).square().mean()

    settings = {"steps": 20, "learning_rate": 1e-2, "ema_decay": 0.9, "checkpoint_every": 3, "log_every": 5}
    fitted = fit(name="small", module=module, loss=loss, path=folder / "small.checkpoint.safetensors", **settings)
    return {key: value.clone() for key, value in module.state_dict().items()}, fitted


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    expected, fitted = train_small(tmp_path / "undisturbed")
    for stop_at in (7, 14):
        with pytest.raises(Stopped):
            train_small(tmp_path / "disturbed", stop_at=stop_at)
    weights, _ = train_small(tmp_path / "disturbed")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert fitted.steps == 20 and fitted.parameters == 49


def test_a_finished_training_is_not_made_again(tmp_path):
    expected, fitted = train_small(tmp_path)
    weights, again = train_small(tmp_path, stop_at=19)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert again.loss == pytest.approx(fitted.loss)


def test_the_learning_rate_warms_up_and_ends_at_zero():
    rates = [learning_rate_at(step, 1000, 1.0) for step in range(1000)]
    assert rates[0] < 0.05 and max(rates) == 1.0 and rates[-1] < 1e-4


def test_latents_are_normalised_without_changing_pictures():
    torch.manual_seed(0)
    vae, x = make_vae().eval(), torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.encode(x).latent_dist
        decoded = vae.decode(before.mean).sample
        mean, deviation = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        normalise_latents(vae, mean, deviation)
        after = vae.encode(x).latent_dist
        assert torch.allclose(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
        assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-3)
        assert torch.allclose(after.std * deviation[:, None, None], before.std, rtol=1e-3)
        assert torch.allclose(vae.decode(after.mean).sample, decoded, atol=1e-4)


@pytest.mark.parametrize("name", ["unet", "unet_b"])
def test_an_untrained_unet_returns_its_noisy_input(name):
    noisy = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    states = torch.randn(4, 48, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        predicted = make_unet(name).eval()(noisy, torch.tensor([1, 300, 700, 999]), states).sample
    assert (predicted - noisy).square().mean() < 1e-3


def test_words_start_far_apart():
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    texts = ["girl on left", "girl on right", "boy on left"]
    ids = torch.tensor(tokenizer(texts, padding="max_length").input_ids)
    with torch.no_grad():
        left, right, elsewhere = text_tower(make_clip(tokenizer))(input_ids=ids).last_hidden_state[:, 3]
    assert (left - right).norm() > (left - elsewhere).norm()


def test_the_text_encoder_is_the_text_tower():
    torch.manual_seed(0)
    clip, ids = make_clip(make_tokenizer()).eval(), torch.randint(0, 900, (2, MAX_LENGTH))
    tower = text_tower(clip)
    with torch.no_grad():
        states = clip.text_model(input_ids=ids).last_hidden_state
        assert torch.equal(tower(input_ids=ids).last_hidden_state, states)


def test_files_load_in_their_libraries(tmp_path):
    torch.manual_seed(0)
    tokenizer, clip = make_tokenizer(), make_clip(make_tokenizer())
    vae, unet = make_vae(), make_unet("unet")
    save_pipeline(tmp_path / "pipeline", vae=vae, clip=clip, tokenizer=tokenizer, unet=unet)
    save_clip(tmp_path / "clip", clip, tokenizer)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline", safety_checker=None)
    assert pipeline.text_encoder.dtype == pipeline.unet.dtype == torch.float32
    assert pipeline.tokenizer.model_max_length == MAX_LENGTH
    rounded = as_reloaded(make_unet("unet").train())
    rounded.load_state_dict(unet.state_dict())
    reloaded, expected = pipeline.unet.state_dict(), as_reloaded(rounded).state_dict()
    assert all(torch.equal(reloaded[key], expected[key]) for key in expected)
    image = pipeline("a photo of miko on the moon", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    assert CLIPModel.from_pretrained(tmp_path / "clip").dtype == torch.float32


def test_the_scorer_loads_in_open_clip(tmp_path):
    scorer = make_scorer().eval()
    save_scorer(tmp_path / "scorer", scorer)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'scorer'}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'scorer'}")
    ids = tokenize(["a photo of miko", "on the moon"])
    with torch.no_grad():
        ours, theirs = scorer.encode_text(ids), model.eval().encode_text(ids)
    assert torch.allclose(ours, theirs, atol=0.02) and ids.shape == (2, MAX_LENGTH)
    assert preprocess is not None


def test_exported_stages_are_taken_back_as_they_are(tmp_path):
    torch.manual_seed(0)
    out = tmp_path / "out"
    clip, scorer = as_reloaded(make_clip(make_tokenizer())), as_reloaded(make_scorer())
    vae, unet = as_reloaded(make_vae()), as_reloaded(make_unet("unet"))
    save_clip(out / "clip", clip, make_tokenizer())
    save_scorer(out / "scorer", scorer)
    save_pipeline(out / "pipeline", vae=vae, clip=clip, tokenizer=make_tokenizer(), unet=unet)
    models = {"vae": vae, "clip": clip, "scorer": scorer, "unet": unet}
    write_json(out / "training.json", {"stages": {name: {"steps": 1} for name in models}})
    torch.manual_seed(1)
    empty = {"vae": make_vae, "scorer": make_scorer, "unet": lambda: make_unet("unet")}
    empty["clip"] = lambda: make_clip(make_tokenizer())
    for name, model in models.items():
        taken, facts = exported(out, name, empty[name])
        expected = model.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in taken.state_dict().items()), name
        assert facts == {"steps": 1}


def test_a_stage_starts_over_when_what_it_stands_on_changes(tmp_path):
    site = Site(preset=PRESETS["tiny"], folder=tmp_path, device=torch.device("cpu"))
    longer = dataclasses.replace(site, preset=dataclasses.replace(site.preset, unet=(24, 6, 8)))
    torch.manual_seed(0)
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    files = [site.weights("unet", one), site.weights("unet", other), longer.weights("unet", one)]
    assert len(set(files)) == 3 and site.weights("unet", one) == files[0]
    assert longer.weights("vae") == site.weights("vae")


def test_the_reader_is_saved_and_loaded(tmp_path):
    save_reader(tmp_path / "reader", Reader())
    load_reader(tmp_path / "reader")
    with pytest.raises(InputError, match="make world"):
        load_reader(tmp_path)


def test_the_reader_learns_from_what_can_be_read():
    truth = [targets(wide_scene(i)) for i in range(12)]
    batch = {key: torch.from_numpy(np.stack([row[key] for row in truth])) for key in truth[0]}
    reader = Reader(width=8)
    loss = reader_loss(reader(torch.rand(12, 3, 64, 64)), batch, torch.zeros(12, 2, 64, 64))
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in reader.parameters() if p.grad is not None)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    with folder_aside(tmp_path / "it") as aside:
        (aside / "a").write_text("1")
    with pytest.raises(Stopped), folder_aside(tmp_path / "it") as aside:
        (aside / "b").write_text("2")
        raise Stopped
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def world(work: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "helpers.world.build", "--preset", "tiny", "--device", "cpu", "--unet-b"]
    return subprocess.Popen([*command, "--work", work, "--out", out, *more], cwd=ROOT, start_new_session=True)


def unfinished(work):
    """Checkpoints of stages that have not ended."""
    found = work.rglob("[!.]*.checkpoint.safetensors")
    return {path for path in found if not path.with_name(f"{path.name.split('.')[0]}.safetensors").exists()}


@pytest.mark.slow
def test_a_world_killed_three_times_ends_with_the_same_weights(tmp_path):
    began = time.monotonic()
    assert world(tmp_path / "undisturbed", tmp_path / "expected").wait() == 0
    whole = time.monotonic() - began
    work, later = tmp_path / "killed", random.Random(os.getpid())
    for delay in (0, later.uniform(0, 0.1) * whole, later.uniform(0, 0.1) * whole):
        seen = unfinished(work)
        running = world(work, tmp_path / "out")
        while unfinished(work) <= seen and running.poll() is None:  # until it has left a new checkpoint
            time.sleep(0.02)
        time.sleep(delay)
        assert running.poll() is None, "it ended before it could be killed"
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert delay or unfinished(work), "it was not killed in the middle of a stage"
    assert world(tmp_path / "killed", tmp_path / "out").wait() == 0
    files = sorted(path.relative_to(tmp_path / "expected") for path in (tmp_path / "expected").rglob("*.safetensors"))
    assert len(files) >= 6 and PRESETS["tiny"].unet[0] > 0
    for file in files:
        expected, found = load_file(tmp_path / "expected" / file), load_file(tmp_path / "out" / file)
        assert all(torch.equal(expected[key], found[key]) for key in expected), file


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--reuse unet --further unet", "name each once"),
        ("--further unet_b", "only with --unet-b"),
        ("--unet-b --reuse unet_b --out {tmp}", "no weights of unet_b"),
        ("--preset tiny", "name another --out"),
    ],
)
def test_commands_that_cannot_be_done_are_refused(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build", *words.format(tmp=tmp_path).split()])
    with pytest.raises(SystemExit):
        build.main()
    assert sentence in capsys.readouterr().err


def test_a_round_started_again_goes_on_from_the_same_weights(tmp_path):
    torch.manual_seed(0)
    kept, out, first = tmp_path / "further-unet.safetensors", tmp_path / "out", as_reloaded(make_unet("unet"))
    unet = out / "pipeline" / "unet"
    unet.mkdir(parents=True)
    save_file({key: value.half() for key, value in first.state_dict().items()}, unet / "model.safetensors")
    write_json(out / "training.json", {"stages": {"unet": {"steps": 1}}})
    build.begun(kept, out, "unet", lambda: make_unet("unet"))
    (unet / "model.safetensors").unlink()  # as if the round had exported another one
    again, facts = build.begun(kept, out, "unet", lambda: make_unet("unet"))
    assert facts == {"steps": 1}
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.slow
def test_a_unet_goes_on_from_the_exported_one(tmp_path):
    out, reused = tmp_path / "out", ["--reuse", "vae", "clip", "scorer", "reader", "unet_b"]
    assert world(tmp_path / "work", out).wait() == 0
    before = load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
    assert world(tmp_path / "work", out, *reused, "--further", "unet").wait() == 0
    after = load_file(out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
    assert before.keys() == after.keys() and any(not torch.equal(before[key], after[key]) for key in before)
    newest, earlier = history(json.loads((out / "training.json").read_text())["stages"]["unet"])
    assert newest["steps"] == earlier["steps"] == sum(PRESETS["tiny"].unet[:2])
