"""One text and one hash for one content, whatever the machine.

A hash covers configuration and content (weights, images), never a path, a device or a date:
the same run has the same hash on every machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch

HASH_LENGTH = 16


def canonical_json(value: Any) -> str:
    """One text for one value: keys sorted, no spaces, dataclasses as objects, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _of_type(getattr(value, field.name), field.type) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def _of_type(value: Any, kind: Any) -> Any:
    """1 as 1.0 where a field is a float: equal configurations have one form."""
    return float(value) if kind in (float, "float") else value


def content_hash(*parts: Any) -> str:
    """Hash of configurations, names and fingerprints, in this order, as 16 hexadecimal digits."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:HASH_LENGTH]


def tensor_hash(named: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash of named tensors: names, shapes and values.

    Floating values are hashed as float16, in which weights are stored, so that one file has one
    hash whether it was loaded as float16 or as float32.
    """
    digest = hashlib.sha256()
    for name, tensor in named:
        values = tensor.detach().to(device="cpu", dtype=torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(f"{name}{tuple(values.shape)}".encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:HASH_LENGTH]
