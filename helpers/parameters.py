"""The parameters of a notebook: read from its tagged cell, checked before anything runs.

A notebook has one cell tagged `parameters`: annotated plain values, each with a comment that may
end in a rule in square brackets:

    steps: int = 1000  # updates of the token [> 0 .. 20000]
    train: str = "missing"  # train what is missing, or only draw again [missing | never]
    rates: list[float] = [1e-3, 5e-3]  # learning rates, each one a curve [> 0 .. 1]
    prompt: str = "a photo of S*"  # what to draw [not empty]
"""

import ast
import fnmatch
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from helpers.config import InputError

COMMON_RULES = {
    "profile": "smoke | quick | full",
    "model": "not empty",
    "scorer": "not empty",
    "concept": "not empty",
    "class_word": "",
    "seed": "0 .. 4294967295",
    "device": "auto | cpu | cuda | cuda:[0-9]",
    "out": "",
    "train": "missing | never",
}
"""Rules that hold in every notebook, written once here instead of in each of them."""

REQUIRED = ("profile", "model", "scorer", "concept", "class_word", "seed", "device", "out")
KINDS = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    kind: str
    """str, int, float, bool, or list[...] of one of these."""
    default: Any
    comment: str
    """What a reader sees, without the rule."""
    rule: str
    """What values are allowed; empty if every value of the kind is."""

    @property
    def element(self) -> type:
        """The Python type of the value, or of its elements where it is a list."""
        return KINDS[self.kind.removeprefix("list[").removesuffix("]")]


def read_parameters(notebook: NotebookNode) -> dict[str, Parameter]:
    """Read the cell tagged `parameters`; an empty dict if there is none."""
    cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        return {}
    lines = cells[0].splitlines()
    found = (_read_line(node, lines[node.end_lineno - 1]) for node in ast.parse(cells[0]).body)
    return {parameter.name: parameter for parameter in found}


def _read_line(node: ast.stmt, line: str) -> Parameter:
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        raise InputError(f"The parameters cell has the line {line!r}: write `name: type = value  # comment`.")
    name, kind = node.target.id, ast.unparse(node.annotation)
    if kind.removeprefix("list[").removesuffix("]") not in KINDS:
        raise InputError(f"Parameter {name} is a {kind}: use str, int, float, bool or a list of these.")
    comment = line.encode()[node.end_col_offset :].decode().strip().removeprefix("#").strip()  # ast counts bytes
    text, bracket, rule = re.fullmatch(r"(.*?)\s*(\[(.*)\])?", comment).groups()
    if bracket and name in COMMON_RULES:
        raise InputError(f"Parameter {name} has a rule of its own: take {bracket} away, it is common to all.")
    rule = COMMON_RULES.get(name, rule or "")
    return Parameter(name=name, kind=kind, default=ast.literal_eval(node.value), comment=text, rule=rule)


def parse(parameter: Parameter, text: str) -> Any:
    """Turn a word of a command line into a checked value; lists are written as JSON."""
    if parameter.kind.startswith("list["):
        return check(parameter, _parse_list(parameter, text))
    try:
        value = {"true": True, "false": False}[text.lower()] if parameter.element is bool else parameter.element(text)
    except (ValueError, KeyError):
        raise InputError(_refusal(parameter, text)) from None
    return check(parameter, value)


def _parse_list(parameter: Parameter, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise InputError(_refusal(parameter, text) + ' Write a list as JSON, like [1, 2] or ["a", "b"].') from None


def check(parameter: Parameter, value: Any) -> Any:
    """Return the value, with integers made floats where floats are meant, or refuse it."""
    is_list = parameter.kind.startswith("list[")
    if is_list and not isinstance(value, list):
        raise InputError(_refusal(parameter, value))
    checked = [_check_one(parameter, element) for element in (value if is_list else [value])]
    return checked if is_list else checked[0]


def _check_one(parameter: Parameter, value: Any) -> Any:
    if parameter.element is float and type(value) is int:
        value = float(value)
    if type(value) is not parameter.element or not _allowed(value, parameter.rule):
        raise InputError(_refusal(parameter, value))
    return value


def _allowed(value: Any, rule: str) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if not rule:
        return True
    if rule == "not empty":
        return bool(value.strip())
    if "|" in rule:
        return any(fnmatch.fnmatchcase(str(value), choice.strip()) for choice in rule.split("|"))
    low, _, high = (part.strip() for part in rule.removeprefix(">").partition(".."))
    above = value > float(low) if rule.startswith(">") else value >= float(low or "-inf")
    return above and value <= float(high or "inf")


def _refusal(parameter: Parameter, value: Any) -> str:
    rule = f" [{parameter.rule}]" if parameter.rule else ""
    return f"Parameter {parameter.name} cannot be {value!r}: its type is {parameter.kind}{rule}, {parameter.comment}."
