"""What a run learned leaves the store; what it did not is refused in one sentence."""

import copy

import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file

from helpers import artifacts, store


def make(runs, run="abc", method="inversion", steps=(2, 10), **tensors):
    with store.written(runs, run) as writing:
        writing.config({"method": method, "training": {"rank": 2, "alpha": 4.0, "targets": ["to_q"]}})
        writing.scores(pd.DataFrame({"index": [0]}))
        for step in steps:
            writing.checkpoint(step, {name: tensor * step for name, tensor in tensors.items()})


def test_the_last_checkpoint_is_taken_unless_another_is_asked_for(tmp_path, caplog):
    make(tmp_path / "runs", rows=torch.ones(1, 4))
    with caplog.at_level("INFO"):
        assert artifacts.main(["abc", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]) == 0
    assert "learned_embeds.safetensors" in caplog.text
    assert load_file(tmp_path / "out" / "learned_embeds.safetensors")["<s*>"].tolist() == [10.0] * 4
    artifacts.export(tmp_path / "runs", "abc", tmp_path / "out", step=2, placeholder="<me>")
    assert load_file(tmp_path / "out" / "learned_embeds.safetensors")["<me>"].tolist() == [2.0] * 4


def test_a_finetuning_of_the_class_word_has_no_token(tmp_path):
    adapters = {"unet a.to_q.down": torch.ones(2, 4), "unet a.to_q.up": torch.ones(4, 2), "rows": torch.zeros(0, 0)}
    make(tmp_path / "runs", method="finetuning", **adapters)
    (path,) = artifacts.export(tmp_path / "runs", "abc", tmp_path / "out")
    assert path.name == "pytorch_lora_weights.safetensors" and path.is_file()
    assert set(load_file(path)) == {"unet.a.to_q.lora_A.weight", "unet.a.to_q.lora_B.weight"}


@pytest.mark.parametrize(
    ("run", "step", "part"), [("xyz", "0", "not finished"), ("abc", "5", "no checkpoint"), ("ref", "0", "as it was")]
)
def test_what_is_not_there_is_refused(tmp_path, caplog, run, step, part):
    make(tmp_path, rows=torch.ones(1, 4))
    make(tmp_path, run="ref", method="reference", steps=())
    assert artifacts.main([run, str(tmp_path / "out"), "--runs", str(tmp_path), "--step", step]) == 2
    assert part in caplog.text and not (tmp_path / "out").exists()


@pytest.mark.parametrize("vectors", [1, 3])
def test_comfyui_finds_all_rows_by_its_encoders_name(tmp_path, vectors):
    rows = torch.randn(vectors, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    artifacts.save_comfyui_embedding(tmp_path / "alba.safetensors", rows)
    found = load_file(tmp_path / "alba.safetensors")
    assert list(found) == ["clip_l"] and torch.equal(found["clip_l"], rows)
    plain = tiny.pipeline()
    plain.tokenizer = copy.deepcopy(plain.tokenizer)
    plain.load_textual_inversion(tmp_path / "alba.safetensors", token="<s>")  # diffusers takes the only tensor too
    assert torch.equal(plain.text_encoder.get_input_embeddings().weight[-vectors:], rows)
