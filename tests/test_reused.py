"""A learned token turned towards its class word after training."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from helpers.config import InputError, ReuseConfig
from helpers.grid import RunConfig
from helpers.reused import turned

ROWS = torch.randn(2, 8, generator=torch.Generator().manual_seed(0)) * 5
TOWARDS = torch.randn(8, generator=torch.Generator().manual_seed(1))


def test_nothing_turned_is_the_token_itself():
    assert torch.allclose(turned(ROWS, TOWARDS, turn=0.0, shorten=0.0), ROWS, atol=1e-5)


def test_all_the_way_is_the_class_word():
    assert torch.allclose(turned(ROWS, TOWARDS, turn=1.0, shorten=1.0), TOWARDS.expand(2, 8), atol=1e-5)


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8])
def test_turning_and_shortening_are_apart(turn):
    found = turned(ROWS, TOWARDS, turn=turn, shorten=0.5)
    angles = [cosine_similarity(rows, TOWARDS[None]).acos() for rows in (ROWS, found)]
    assert torch.allclose(angles[1], (1 - turn) * angles[0], atol=1e-4)
    assert torch.allclose(found.norm(dim=1), (ROWS.norm(dim=1) + TOWARDS.norm()) / 2, atol=1e-4)


def test_bad_reuses_are_refused():
    for wrong in ({"turn": 1.5}, {"shorten": -0.1}, {"of": ("alba",)}):
        with pytest.raises(InputError):
            ReuseConfig(class_word="toy", **wrong)
    with pytest.raises(InputError, match="a reuse always"):
        RunConfig(concept="alba", training=ReuseConfig(class_word="toy"))
