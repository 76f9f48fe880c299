"""Scoring runs: pictures of the same prompts and noise for each of them, one row a picture.

Pictures are drawn packed, seen, and let go, but for the few of a contact sheet: hundreds of runs need no
more memory than one. Columns of a prompt (the paper's editability, diversity) stand in every row of it;
`editability_share` is each picture's share in it, so that a mean over pictures is the score without its bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from tqdm import tqdm

from helpers import scores
from helpers.concepts import Concept
from helpers.config import SamplingConfig
from helpers.progress import BATCH_PROGRESS
from helpers.prompts import PLACEHOLDER, EditPrompt, without_placeholder
from helpers.sample import Learned, sample
from helpers.scorers import Scorer

CHUNK_BATCHES = 8
ON_SHEET = 8
"""Pictures of each prompt that are kept for a contact sheet."""
Look = Callable[[Tensor, Sequence[EditPrompt]], tuple[pd.DataFrame, Tensor]]
"""Pictures [N, 3, S, S] uint8 and their prompts to N rows of readings, and to where the concept is, [N, S, S] bool."""


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """What looks at pictures."""

    scorer: Scorer
    look: Look | None = None
    """What the pictures show, in a world whose pictures can be read; without it foregrounds are not scored."""


@dataclass(frozen=True, kw_only=True)
class References:
    """Vectors [N, D] of a concept's own pictures: "training" and, if there are pictures that only score, "unseen"."""

    whole: dict[str, Tensor]
    foreground: dict[str, Tensor]
    """Of the concept on grey; empty without masks, or where generated pictures cannot be masked."""
    background: dict[str, Tensor]
    """Of everything else, the concept being grey."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One run's pictures as rows, and a few of them to look at."""

    rows: pd.DataFrame
    vectors: Tensor
    """[n, D] float16, the scorer's unit vector of each row's picture: other scores need no new drawing."""
    sheet: Tensor
    """[M, 3, S, S] uint8: the first ON_SHEET pictures of each prompt, prompt after prompt."""


def references_of(concept: Concept, instruments: Instruments) -> References:
    """What generated pictures are compared with; foregrounds only if pictures can be masked too."""
    own = {"training": (concept.images, concept.masks), "unseen": (concept.score_images, concept.score_masks)}
    own = {name: pair for name, pair in own.items() if len(pair[0])}

    def embedded(images: Tensor) -> Tensor:
        return scores.embed_images(instruments.scorer, images)

    masked = {name: pair for name, pair in own.items() if pair[1] is not None and instruments.look}
    return References(
        whole={name: embedded(images) for name, (images, _) in own.items()},
        foreground={name: embedded(scores.on_grey(images, masks)) for name, (images, masks) in masked.items()},
        background={name: embedded(scores.on_grey(images, ~masks)) for name, (images, masks) in masked.items()},
    )


def evaluate(
    pipeline: StableDiffusionPipeline,
    concept: Concept,
    instruments: Instruments,
    *,
    runs: int,
    learned: Learned | None,
    subject: str,
    prompts: Sequence[EditPrompt],
    counts: Sequence[int],
    config: SamplingConfig,
) -> list[Evaluated]:
    """Draw and score pictures 0 to counts[p] - 1 of each prompt p for each run.

    Args:
        pipeline: draws.
        concept: what should be seen.
        instruments: see.
        runs: how many; one without `learned`, the model as it was.
        learned: by all runs.
        subject: what stands in S*'s place: S* itself (learned rows), a class word, or a rare word; nothing draws the
            prompt without S*.
        prompts: P of them, with S*.
        counts: pictures of each prompt.
        config: of the sampler; its batch size packs pictures of all runs.
    """
    jobs = [(r, p, i) for r in range(runs) for p in range(len(prompts)) for i in range(counts[p])]
    references = references_of(concept, instruments)
    size, parts, vectors, kept = CHUNK_BATCHES * config.batch_size, [], [], []
    with tqdm(total=len(jobs), desc="drawing", unit="image", **BATCH_PROGRESS) as bar:
        for begin in range(0, len(jobs), size):
            chunk = jobs[begin : begin + size]
            asked, indices = [prompts[p] for _, p, _ in chunk], [i for _, _, i in chunk]
            chosen = [r for r, _, _ in chunk] if learned else None
            texts = [
                prompt.text.replace(PLACEHOLDER, subject) if subject else without_placeholder(prompt.text)
                for prompt in asked
            ]
            images = sample(
                pipeline, texts, indices=indices, config=config, learned=learned, runs=chosen, on_batch=bar.update
            )
            rows = pd.DataFrame(chunk, columns=["of", "position", "index"])
            seen, columns = see(images, asked, references, instruments)
            parts.append(pd.concat([rows, columns], axis=1))
            vectors.append(seen)
            kept.append(images[torch.tensor(indices) < ON_SHEET])
    rows, whole = pd.concat(parts, ignore_index=True), torch.cat(vectors)
    rows = rows.join(described(prompts), on="position").join(of_prompts(rows, whole, prompts, instruments))
    sheets = torch.cat(kept).split(sum(min(ON_SHEET, count) for count in counts))
    seen = whole.half().split(sum(counts))
    return [
        Evaluated(rows=mine.drop(columns=["of", "position"]).reset_index(drop=True), vectors=seen[r], sheet=sheets[r])
        for r, mine in rows.groupby("of", sort=True)
    ]


def see(
    images: Tensor, asked: Sequence[EditPrompt], references: References, instruments: Instruments
) -> tuple[Tensor, pd.DataFrame]:
    """Unit vectors [N, D] of pictures, and their scores and readings as N rows."""
    vectors = scores.embed_images(instruments.scorer, images)
    columns = {
        f"reconstruction_{name}": scores.reconstruction(vectors, known) for name, known in references.whole.items()
    }
    columns["nearest"], columns["nearest_image"] = scores.nearest_reference(vectors, references.whole["training"])
    readings, masks = instruments.look(images, asked) if instruments.look else (None, None)
    if references.foreground:
        for part, all_known, shown in (
            ("foreground", references.foreground, masks),
            ("background", references.background, ~masks),
        ):
            cut = scores.embed_images(instruments.scorer, scores.on_grey(images, shown))
            for name, known in all_known.items():
                columns[f"reconstruction_{part}_{name}"] = scores.reconstruction(cut, known)
    table = pd.DataFrame({name: values.numpy() for name, values in columns.items()})
    return vectors, pd.concat([table, readings], axis=1)


def described(prompts: Sequence[EditPrompt]) -> pd.DataFrame:
    """Text, kind and combination of each prompt."""
    return pd.DataFrame(
        {
            "prompt": [prompt.text for prompt in prompts],
            "kind": [prompt.kind for prompt in prompts],
            "combination": [prompt.combination for prompt in prompts],
        }
    )


def of_prompts(
    rows: pd.DataFrame, vectors: Tensor, prompts: Sequence[EditPrompt], instruments: Instruments
) -> pd.DataFrame:
    """text_cosine of each picture; editability (of the mean vector) and diversity of its prompt in its run, and the
    picture's share in the editability: what scores.editability_shares says."""
    texts = scores.embed_texts(instruments.scorer, [without_placeholder(prompt.text) for prompt in prompts])
    found = pd.DataFrame(index=rows.index)
    found["text_cosine"] = (vectors * texts[torch.tensor(rows["position"].to_numpy())]).sum(-1).numpy()
    for (_, position), members in rows.groupby(["of", "position"]).groups.items():
        mine = vectors[torch.tensor(members.to_numpy())].unsqueeze(0)
        text = texts[position : position + 1]
        found.loc[members, "editability"] = scores.editability_of_mean(mine, text).item()
        found.loc[members, "editability_share"] = scores.editability_shares(mine, text)[0].numpy()
        found.loc[members, "diversity"] = scores.diversity(mine).item() if len(members) > 1 else None
    return found
