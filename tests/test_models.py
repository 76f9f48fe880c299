"""Pipelines and scorers load from folders, with one clear sentence where they do not."""

import json
import logging
import shutil

import pytest
import tiny
import torch
from diffusers import DPMSolverMultistepScheduler

from helpers import models, scorers
from helpers.config import InputError


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "pipeline"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scorer_folder(tmp_path_factory):
    return tiny.save_scorer(tmp_path_factory.mktemp("models") / "scorer")


def test_pipeline_is_frozen_and_keeps_its_fingerprint(pipeline_folder):
    loaded = models.load_pipeline(str(pipeline_folder), device="cpu")
    assert not any(p.requires_grad for m in (loaded.vae, loaded.unet, loaded.text_encoder) for p in m.parameters())
    assert not loaded.unet.training
    assert models.image_size(loaded) == tiny.IMAGE_SIZE
    assert models.pipeline_fingerprint(loaded) == models.pipeline_fingerprint(tiny.pipeline())
    loaded.unet.conv_in.bias += 1
    assert models.pipeline_fingerprint(loaded) != models.pipeline_fingerprint(tiny.pipeline())


def test_a_solver_with_infinite_settings_has_a_fingerprint():
    one = tiny.pipeline()
    one.scheduler = DPMSolverMultistepScheduler.from_config(one.scheduler.config)
    assert one.scheduler.config.lambda_min_clipped == -float("inf")
    assert models.pipeline_fingerprint(one) != models.pipeline_fingerprint(tiny.pipeline())


def test_fingerprint_covers_the_schedule():
    assert models.pipeline_fingerprint(tiny.pipeline()) != models.pipeline_fingerprint(
        tiny.pipeline(prediction_type="v_prediction")
    )


def test_the_second_embedded_model_differs_in_its_unet_alone():
    first, second = (models.load_pipeline(name, device="cpu") for name in models.EMBEDDED)
    assert first.unet.config.block_out_channels != second.unet.config.block_out_channels
    assert not any(p.requires_grad for p in second.unet.parameters()) and not second.unet.training
    words = [p.text_encoder.get_input_embeddings().weight for p in (first, second)]
    assert torch.equal(*words) and models.pipeline_fingerprint(first) != models.pipeline_fingerprint(second)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("no such model", "is no folder here"),
        ("../elsewhere/model", "is no folder here"),
        ("owner/there-is-no-such-model", "cannot be loaded"),
    ],
)
def test_unknown_pipelines_are_refused_in_one_sentence(source, part, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=part) as caught:
        models.load_pipeline(source, device="cpu")
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_pipeline_are_refused(pipeline_folder, tmp_path):
    with pytest.raises(InputError, match="model_index.json"):
        models.load_pipeline(str(tmp_path), device="cpu")
    other = shutil.copytree(pipeline_folder, tmp_path / "other")
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    with pytest.raises(InputError, match="is a FluxPipeline"):
        models.load_pipeline(str(other), device="cpu")


def test_pickled_weights_are_refused(pipeline_folder, tmp_path):
    pickled = shutil.copytree(pipeline_folder, tmp_path / "pickled")
    (pickled / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(tiny.pipeline().unet.state_dict(), pickled / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        models.load_pipeline(str(pickled), device="cpu")


def test_scorer_loads_from_a_folder(scorer_folder):
    plain = scorers.load_scorer(str(scorer_folder), device="cpu")
    prefixed = scorers.load_scorer(f"local-dir:{scorer_folder}", device="cpu")
    assert plain.fingerprint == prefixed.fingerprint
    assert (plain.size, plain.std, plain.interpolation) == (24, (0.25, 0.25, 0.25), "bicubic")
    assert plain.tokenizer(["a photo of a toy"]).shape == (1, tiny.TEXT_LENGTH)


def test_a_scorer_that_could_run_code_is_refused(scorer_folder, tmp_path):
    folder = shutil.copytree(scorer_folder, tmp_path / "doctored")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="trust_remote_code"):
        scorers.load_scorer(str(folder), device="cpu")


def test_openai_weights_get_their_activation(monkeypatch, tmp_path):
    asked = {}

    def create_model(name, **options):
        asked.update(options, name=name)
        raise RuntimeError("stop here")

    monkeypatch.setattr(scorers.open_clip, "download_pretrained", lambda entry: str(tmp_path / "w.safetensors"))
    monkeypatch.setattr(scorers.open_clip, "create_model", create_model)
    with pytest.raises(InputError, match="stop here"):
        scorers.load_scorer("ViT-B-32/openai", device="cpu")
    assert asked["force_quick_gelu"] is True
    with pytest.raises(InputError, match="stop here"):
        scorers.load_scorer("ViT-B-32/laion2b_s34b_b79k", device="cpu")
    assert asked["force_quick_gelu"] is False


@pytest.mark.parametrize(
    ("source", "part"),
    [("no-such-scorer", "is not known"), ("ViT-B-32/nobody", "unknown weights"), ("{tmp}", "open_clip_config.json")],
)
def test_unknown_scorers_are_refused(source, part, tmp_path):
    with pytest.raises(InputError, match=part):
        scorers.load_scorer(source.format(tmp=tmp_path), device="cpu")


def test_devices():
    assert models.pick_device("cpu").type == "cpu"
    assert models.pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        models.pick_device("tpu")
    with pytest.raises(InputError, match="GPUs here"):
        models.pick_device("cuda:9")


def test_loading_is_quiet(pipeline_folder, capsys, caplog):
    with caplog.at_level(logging.WARNING):
        models.load_pipeline(str(pipeline_folder), device="cpu")
    assert capsys.readouterr().err == ""
    assert not caplog.records
