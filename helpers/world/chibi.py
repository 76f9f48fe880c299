"""What looks at chibi's pictures: the reader, told who the concept is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.concepts import Concept
from helpers.config import InputError
from helpers.evaluation import Instruments
from helpers.hashing import content_hash, tensor_hash
from helpers.prompts import EditPrompt
from helpers.scorers import Scorer
from helpers.world import scene as w
from helpers.world.reader import load_reader, read
from helpers.world.readings import FACTORS, PARTS, both_there, likeness, looks_like, success, table


def chibi_instruments(scorer: Scorer, concept: Concept, reader: Path, device: str) -> tuple[Instruments, str]:
    """Instruments for pictures of an embedded concept, and a fingerprint of the reader and what is read.

    The concept's foreground is the figure that looks like it, else the left one. The identity of a concept of two
    characters is right if both are there. A concept of more characters, or of a style, has no identity that all
    pictures share: only edits are read of it.
    """
    network, character, people = load_reader(reader, device), character_of(concept), characters_of(concept)

    def look(images: Tensor, prompts: Sequence[EditPrompt]) -> tuple[pd.DataFrame, Tensor]:
        readings = read(network, images.permute(0, 2, 3, 1).numpy())
        slots = np.zeros(len(images), int) if character is None else looks_like(readings, character).argmax(1)
        mask = torch.from_numpy(readings["mask"][np.arange(len(images)), slots] > 0.5)
        found = success(readings, prompts, character)
        if len(people) == 2:
            found["identity"] = both_there(readings, *people)
            found["joint"] = (found["edit"] & found["identity"]).where(found["edit"].notna())
        return pd.concat([table(readings), found, likeness(readings, character)], axis=1), mask

    instruments = Instruments(scorer=scorer, look=look)
    return instruments, content_hash(tensor_hash(network.state_dict().items()), FACTORS, PARTS)


def character_of(concept: Concept) -> w.Character | None:
    """The character that all pictures of an embedded concept show; None if there is no such.

    Raises:
        InputError: its scenes cannot be read.
    """
    people = characters_of(concept)
    return people[0] if len(people) == 1 else None


def characters_of(concept: Concept) -> tuple[w.Character, ...]:
    """The characters that pictures of an embedded concept show, in the order in which they appear.

    Raises:
        InputError: its scenes cannot be read.
    """
    try:
        people = [figure.character for scene in concept.scenes for figure in w.from_json(scene).figures]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"scenes.json of concept {concept.name!r} does not say what its pictures show ({error!r}): "
            "take it away, or draw the concept again with helpers.world.newcomers."
        ) from error
    return tuple(dict.fromkeys(people))
