"""Report 02's rows: one a picture, with how far its run had gone, and what is normal for its concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import scores, store
from helpers.concepts import Concept
from helpers.evaluation import Instruments
from helpers.inversion_runs import BARE, Labelled
from helpers.prompts import without_placeholder

DISTANCES = ("learning_rate_steps", "path_length", "displacement", "function_distance_token")
"""How far a token has gone; the first is known before anything is trained."""
BESIDE = ("norm", "cosine_to_class", "probe_loss")
"""What else is known of it."""
OF_A_PICTURE = (
    "reconstruction_training",
    "reconstruction_unseen",
    "reconstruction_foreground_unseen",
    "nearest",
    "text_cosine",
    "editability_share",
)
KEYS = ("run", "concept", "seed", "step", "prompt", "kind", "combination", "index")
READ = ("read_background", "read_pose", "read_place", "read_count", "read_art_style")
"""Readings that the report takes from the rows, beside like_<part>."""
TOLD = "edit", "identity", "joint"
DIGITS = 4
"""Decimals of the scores in the file, and digits of the distances after the first."""
NARROW = 0.02
"""Cosines by which the two references of a concept must differ, for scores to lie between them."""


def rows_of(runs: Mapping[str, Labelled], folder: Path) -> pd.DataFrame:
    """All rows of runs, from the store or from a committed report, with distances where the run has such.

    Args:
        runs: by hash.
        folder: the store.
    """
    rows = store.load_runs(folder, runs=runs)
    known = set(rows["run"][rows["displacement"].notna()]) if "displacement" in rows else set()
    moved = [measured(folder, run) for run in rows["run"].unique() if run not in known and has_metrics(folder, run)]
    if moved:
        far = pd.concat(moved, ignore_index=True)
        rows = rows.merge(far, on=["run", "step"], how="left", suffixes=("", " here"))
        for name in (*DISTANCES, *BESIDE):
            if f"{name} here" in rows:
                rows[name] = rows[name].fillna(rows.pop(f"{name} here"))
    alike = [name for name in rows if name.startswith("like_")]
    wanted = [*KEYS, *OF_A_PICTURE, *TOLD, *READ, *alike, *DISTANCES, *BESIDE]
    return compact(rows.reindex(columns=wanted))


def has_metrics(folder: Path, run: str) -> bool:
    """Whether the store knows how a run went; a committed report's rows say it themselves, a reference went nowhere."""
    return (folder / run / "metrics.jsonl").is_file()


def measured(folder: Path, run: str) -> pd.DataFrame:
    """Distances of a run by its number of updates; none for the model as it was."""
    logged = store.load_metrics(folder, run)
    columns = [name for name in (*DISTANCES, *BESIDE) if name in logged]
    if not columns:
        return pd.DataFrame({"run": [], "step": []})
    return logged.dropna(subset="displacement")[columns].assign(run=run, step=logged["step"] + 1)


def compact(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows in types that take little room: texts as categories, numbers of four decimals."""
    found = rows.copy()
    for name in found:
        if found[name].dtype == object or pd.api.types.is_string_dtype(found[name]):
            values = found[name].dropna()
            boolean = values.isin([True, False]).all() and name.startswith(("like_", *TOLD))
            found[name] = found[name].astype("boolean" if boolean else "category")
        elif pd.api.types.is_float_dtype(found[name]):
            values = found[name].to_numpy(float)
            place = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
            places = np.nan_to_num(10 ** (DIGITS - place) if name in (*DISTANCES, *BESIDE) else 10.0**DIGITS, nan=1.0)
            found[name] = (np.round(values * places) / places).astype("float32")
    return found


def labels_of(runs: Mapping[str, Sequence[Labelled]]) -> pd.DataFrame:
    """Section and condition of each run; one that serves several sections has a line for each."""
    lines = [
        {"run": run, "section": one.section, "condition": one.condition} for run, many in runs.items() for one in many
    ]
    return pd.DataFrame(lines).drop_duplicates(ignore_index=True)


def own_pictures(concept: Concept, instruments: Instruments, prompts: Sequence[str]) -> pd.DataFrame:
    """What a model would score that only copies: the training pictures, taken as drawn for every prompt.

    Returns:
        One row a prompt: `concept`, `prompt`, `editability` of the training pictures for it, and `reconstruction` of
        the pictures that only score by the training pictures, of these among themselves where there are no others.
    """
    images = scores.embed_images(instruments.scorer, concept.images)
    texts = scores.embed_texts(instruments.scorer, [without_placeholder(prompt) for prompt in prompts])
    if len(concept.score_images):
        unseen = scores.embed_images(instruments.scorer, concept.score_images)
        kept = scores.reconstruction(images, unseen).mean().item()
    else:
        cosines = (images @ images.T).numpy()
        kept = float(cosines[~np.eye(len(images), dtype=bool)].mean()) if len(images) > 1 else 1.0
    shares = scores.editability_shares(images.expand(len(prompts), -1, -1), texts).mean(1)
    return pd.DataFrame(
        {"concept": concept.name, "prompt": list(prompts), "editability": shares.numpy(), "reconstruction": kept}
    )


def normalised(rows: pd.DataFrame, labels: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Rows with `kept` and `obeyed`: reconstruction and editability between the two references of their concept.

    `kept` is 0 at the prompt without S* and 1 at the concept's own pictures, `obeyed` 1 and 0. The references are means
    over the prompts of a concept: those of a single prompt may be nearly alike.

    Where the references differ by less than NARROW, or the wrong way round, nothing lies between them: the scores are
    then plain differences of cosines to the prompt without S*, see `spanned`.

    Args:
        rows: of one section and its references.
        labels: see `labels_of`.
        own: see `own_pictures`, of all concepts and prompts.
    """
    where = references_of(rows, labels, own)
    is_photo, concepts = (rows["kind"] == "photo").to_numpy(), rows["concept"].astype(str)
    scale = where[["kept", "obeyed"]].where(where[["kept", "obeyed"]] >= NARROW, 1.0)
    kept = (rows[reconstruction_column(rows)] - concepts.map(where["photo"])) / concepts.map(scale["kept"])
    obeyed = 1 + (rows["editability_share"] - concepts.map(where["bare"])) / concepts.map(scale["obeyed"])
    return rows.assign(kept=kept.where(is_photo), obeyed=obeyed.where(~is_photo))


def spanned(rows: pd.DataFrame, labels: pd.DataFrame, own: pd.DataFrame) -> bool:
    """Whether the two references of every concept are NARROW apart, the right way round."""
    return bool((references_of(rows, labels, own)[["kept", "obeyed"]] >= NARROW).all(axis=None))


def references_of(rows: pd.DataFrame, labels: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """By concept: reconstruction of the `photo` and editability (`bare`) of the prompt without S*, and how far the
    concept's own pictures lie from both (`kept`, `obeyed`)."""
    bare = rows[rows["run"].isin(labels["run"][labels["condition"] == BARE])]
    photo = bare[bare["kind"] == "photo"].groupby("concept", observed=True)[reconstruction_column(rows)].mean()
    asked = bare[bare["kind"] != "photo"].groupby(["concept", "prompt"], observed=True)["editability_share"].mean()
    copied = own.set_index(["concept", "prompt"])["editability"].reindex(asked.index)
    low, high = (values.groupby("concept", observed=True).mean() for values in (copied, asked))
    best = own.groupby("concept")["reconstruction"].first()
    return pd.DataFrame({"photo": photo, "bare": high, "kept": best - photo, "obeyed": high - low}).dropna()


def reconstruction_column(rows: pd.DataFrame) -> str:
    """The reconstruction of pictures that no training saw, where the concepts have such."""
    return "reconstruction_unseen" if rows["reconstruction_unseen"].notna().all() else "reconstruction_training"
