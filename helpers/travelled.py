"""How far a run has travelled at each logged step: as its parameters, and as what the model predicts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from helpers import tokens
from helpers.arithmetic import EXACT
from helpers.distances import function_distance, make_probe, of_rows
from helpers.finetune import Finetuning
from helpers.inversion import Inversion, embedding_table, word_rows
from helpers.lora import adapted_modules, merged_norm, weight_norm
from helpers.objective import Predict, in_parts, latent_moments, predictor, training_schedule
from helpers.prompts import PLACEHOLDER, placeholders
from helpers.sample import adapted

PROBED = ("token", "class", "empty")
"""Prompts whose prediction is followed: the concept's, the class word's, and the empty one."""


class Start:
    """Where runs of one seed start: the probe, and what the model predicts on it before it is changed, once each."""

    def __init__(self, pipeline: StableDiffusionPipeline, images: Tensor, *, seed: int, most: int = 0) -> None:
        """Pictures [N, 3, S, S] uint8 of the runs, their seed, and how many pass through the UNet at once (0: all)."""
        moments = latent_moments(pipeline.vae, images)
        self.pipeline, self.most = pipeline, most
        self.probe = make_probe(moments, training_schedule(pipeline.scheduler), seed=seed)
        self._known: dict[tuple[str, bytes], Tensor] = {}

    def predict(self) -> Predict:
        """The UNet's predictions in float32: a distance that is small should not be that of rounding."""
        return in_parts(predictor(self.pipeline.unet, arithmetic=EXACT), self.most)

    def epsilon(self, texts: Sequence[str], rows: Tensor) -> Tensor:
        """Predicted noise [P, M, C, h, w] for P prompts, with rows [K, D] in S*'s place."""
        predict = self.predict()
        keys = [(text, rows.cpu().numpy().tobytes() if PLACEHOLDER in text else b"") for text in texts]
        for key, text in zip(keys, texts, strict=True):
            if key not in self._known:
                predicted = self.probe.predicted(predict, states_of(self.pipeline, [text], rows))
                self._known[key] = self.probe.epsilon(predicted)[0]
        return torch.stack([self._known[key] for key in keys])


@torch.no_grad()
def travelled(
    pipeline: StableDiffusionPipeline, found: Inversion | Finetuning, start: Start, *, class_word: str
) -> pd.DataFrame:
    """One row a logged step.

    Columns of both methods: `step` (the last step before it, from 0), `learning_rate_steps` (learning rate times
    updates), `function_distance_<prompt>` (root mean square change of the predicted noise on a fixed probe batch,
    for each of PROBED) and `probe_loss` (of the concept's prompt on the probe; 2302.04841). Of an inversion:
    `displacement`, `norm` and `cosine_to_start` of its rows, `cosine_to_class`, `learning_rate_steps_in_rms` (in
    units of an embedding entry; none where a rate is an angle). Of a finetuning, with a token those of its rows
    too: `merged_norm`, the Frobenius norm of what is added to the weights, and `relative_norm`, the same over that
    of the adapted weights.

    Args:
        pipeline: as the run began with it.
        found: the run.
        start: of its seed and images.
        class_word: of the class's prompt.
    """
    of_one = of_inversion if isinstance(found, Inversion) else of_finetuning
    rows = [
        {
            "step": step - 1,
            "learning_rate_steps": found.config.learning_rate * step,
            **of_one(pipeline, start, found, step, class_word),
        }
        for step in found.checkpoints
    ]
    return pd.DataFrame(rows)


def of_inversion(
    pipeline: StableDiffusionPipeline, start: Start, found: Inversion, step: int, class_word: str
) -> dict[str, float]:
    """Distances of an inversion's rows. The model is frozen, so what it makes of other prompts stays as it was."""
    rows = found.checkpoints[step].to(pipeline.device)
    initial = found.initial[: len(rows)].to(pipeline.device)
    texts = [f"a photo of {placeholders(found.config.template_set)}"]
    predicted = start.probe.predicted(start.predict(), states_of(pipeline, texts, rows))
    moved = function_distance(start.probe.epsilon(predicted), start.epsilon(texts, initial))
    rms = embedding_table(pipeline).square().mean().sqrt().item()
    to_class = torch.nn.functional.cosine_similarity(rows, word_rows(pipeline, found.config.class_word)[None], dim=-1)
    return {
        **{name: value.item() for name, value in of_rows(rows[None], initial[None]).items()},
        "cosine_to_class": to_class.mean().item(),
        "learning_rate_steps_in_rms": None if found.config.norm == "fixed" else found.config.learning_rate * step / rms,
        "function_distance_token": moved.item(),
        **{f"function_distance_{name}": 0.0 for name in PROBED[1:]},
        "probe_loss": start.probe.loss(predicted).item(),
    }


def of_finetuning(
    pipeline: StableDiffusionPipeline, start: Start, found: Finetuning, step: int, class_word: str
) -> dict[str, float]:
    """Distances of a finetuning's adapters."""
    config, device, probe = found.config, pipeline.device, start.probe
    texts = [f"a photo of {config.subject}", f"a photo of {class_word}", ""]
    unet, text = (
        {name: tensor[None].to(device) for name, tensor in adapters.items()}
        for adapters in (found.checkpoints[step], found.text_checkpoints[step])
    )
    first, last = (rows.to(device) for rows in (found.initial_rows, found.rows[step]))
    scale = config.alpha / config.rank
    with adapted(pipeline.text_encoder, text, [0], scale):
        states = states_of(pipeline, texts, last)
    with adapted(pipeline.unet, unet, [0], scale):
        predicted = probe.predicted(start.predict(), states)
    norm = merged_norm(unet, scale=scale).item()
    moved = zip(PROBED, function_distance(probe.epsilon(predicted), start.epsilon(texts, first)).tolist(), strict=True)
    of_token = {name: value.item() for name, value in of_rows(last[None], first[None]).items()} if len(last) else {}
    of_text = {"text_merged_norm": merged_norm(text, scale=scale).item()} if text else {}
    return {
        **of_token,
        **of_text,
        "merged_norm": norm,
        "relative_norm": norm / weight_norm(adapted_modules(pipeline.unet, config.targets)),
        **{f"function_distance_{name}": distance for name, distance in moved},
        "probe_loss": probe.loss(predicted[:1]).item(),
    }


def states_of(pipeline: StableDiffusionPipeline, texts: Sequence[str], rows: Tensor) -> Tensor:
    """Text states [P, L, D] of P prompts, with rows [K, D] in S*'s place; K may be 0."""
    ids = tokens.tokenize(pipeline.tokenizer, texts, vectors=max(1, len(rows))).to(pipeline.device)
    return tokens.encode(pipeline.text_encoder, ids, rows=rows if len(rows) else None)
