"""One value has one canonical text and one hash."""

import pytest
import torch

from helpers.config import SamplingConfig
from helpers.hashing import canonical_json, tensor_hash


def test_canonical_json_has_one_form():
    assert canonical_json({"b": 1, "a": [0.1, None]}) == '{"a":[0.1,null],"b":1}'
    assert canonical_json(SamplingConfig()) == (
        '{"batch_size":32,"guidance_scale":4.0,"original_unconditional":false,"seed":0,"solver":"dpm","steps":20}'
    )
    with pytest.raises(ValueError):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json(object())


def test_tensor_hash_sees_values_names_and_shapes_but_not_the_precision_of_loading():
    values = torch.arange(6, dtype=torch.float16).reshape(2, 3)
    known = tensor_hash([("w", values)])
    assert known == tensor_hash([("w", values.float())])
    assert known not in (tensor_hash([("v", values)]), tensor_hash([("w", values.T)]), tensor_hash([("w", values + 1)]))
