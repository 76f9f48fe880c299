"""How far a run has travelled: nothing at its start, and the same as measured by hand."""

import pytest
import tiny
import torch

from helpers import distances, objective, tokens
from helpers.config import FinetuneConfig, InversionConfig
from helpers.finetune import finetune
from helpers.inversion import invert
from helpers.travelled import Start, travelled

IMAGES = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


def far(pipeline, found):
    return travelled(pipeline, found, Start(pipeline, IMAGES, seed=0), class_word="toy")


def test_an_inversion_travels_with_its_rows(pipeline):
    config = InversionConfig(class_word="toy", learning_rate=0.1, steps=4, checkpoints=(1,), log_every=3, batch_size=2)
    (found,) = invert(pipeline, IMAGES, configs=[config])
    table = far(pipeline, found)
    assert table["step"].tolist() == [0, 2, 3] and table["learning_rate_steps"].tolist() == pytest.approx(
        [0.1, 0.3, 0.4]
    )
    assert table["cosine_to_class"].tolist() == pytest.approx(table["cosine_to_start"].tolist())
    assert table["displacement"].is_monotonic_increasing and (table["function_distance_token"] > 0).all()
    assert not table["function_distance_class"].any() and not table["function_distance_empty"].any()
    moments, schedule = objective.latent_moments(pipeline.vae, IMAGES), objective.training_schedule(pipeline.scheduler)
    probe, predict = distances.make_probe(moments, schedule, seed=0), objective.predictor(pipeline.unet)
    ids = tokens.tokenize(pipeline.tokenizer, ["a photo of S*"])
    states = [tokens.encode(pipeline.text_encoder, ids, rows=rows) for rows in (found.initial, found.rows)]
    by_hand = distances.function_distance(*(probe.epsilon(probe.predicted(predict, known)) for known in states)).item()
    assert table["function_distance_token"].iloc[-1] == pytest.approx(by_hand, rel=1e-4)


def test_a_finetuning_moves_other_prompts_too(pipeline):
    config = FinetuneConfig(subject="toy", learning_rate=1e-2, steps=3, checkpoints=(1,), batch_size=2)
    (found,) = finetune(pipeline, IMAGES, configs=[config])
    table = far(pipeline, found)
    assert table["step"].tolist() == [0, 2] and table["merged_norm"].is_monotonic_increasing
    for prompt in ("token", "class", "empty"):
        assert (table[f"function_distance_{prompt}"] > 0).all()
    assert table["function_distance_token"].equals(table["function_distance_class"])  # the subject is the class word


def test_a_finetuning_with_its_token_is_measured_from_the_pivot(pipeline):
    rows = torch.randn(1, 1, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    still = FinetuneConfig(learning_rate=1e-12, steps=1, batch_size=2)
    moving = FinetuneConfig(learning_rate=1e-12, token_learning_rate=0.1, steps=1, batch_size=2)
    a, b = (far(pipeline, finetune(pipeline, IMAGES, configs=[c], rows=rows)[0]).iloc[0] for c in (still, moving))
    assert a["function_distance_token"] < 1e-5 < b["function_distance_token"]
    assert a["function_distance_class"] < 1e-5 and b["function_distance_class"] < 1e-5
