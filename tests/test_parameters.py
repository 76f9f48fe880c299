"""Parameters are refused by name, type and range, each with one sentence."""

import nbformat
import pytest

from helpers import parameters
from helpers.config import InputError

CELL = """\
# what a reader may change
profile: str = "quick"  # how much to compute
seed: int = 0  # of every random draw
rate: float = 5e-3  # learning rate of the token [> 0 .. 1]
steps: int = 1000  # updates [1 ..]
train: str = "missing"  # train what is missing, or only draw again
rates: list[float] = [
    1e-3,
    5e-3,
]  # several rates [> 0]
edits: list[str] = ["a photo of S*"]  # what to draw [not empty]
fold: bool = True  # any
"""


def notebook(source=CELL):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# What?"), cell])


@pytest.fixture(scope="module")
def known():
    return parameters.read_parameters(notebook())


def test_reads_names_kinds_defaults_comments_and_rules(known):
    assert list(known) == ["profile", "seed", "rate", "steps", "train", "rates", "edits", "fold"]
    rate = known["rate"]
    assert (rate.kind, rate.default, rate.rule) == ("float", 5e-3, "> 0 .. 1")
    assert rate.comment == "learning rate of the token"
    assert known["rates"].default == [1e-3, 5e-3] and known["rates"].rule == "> 0"
    assert known["profile"].rule == "smoke | quick | full"


def test_defaults_pass_their_own_checks(known):
    for parameter in known.values():
        assert parameters.check(parameter, parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "1e-4", 1e-4),
        ("rate", "1", 1.0),
        ("steps", "20", 20),
        ("seed", "0", 0),
        ("train", "never", "never"),
        ("rates", "[1e-3, 1]", [1e-3, 1.0]),
        ("edits", '["S*, at \\"night\\""]', ['S*, at "night"']),
        ("fold", "False", False),
    ],
)
def test_words_become_values(known, name, text, value):
    parsed = parameters.parse(known[name], text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rate", "fast"),
        ("rate", "0"),
        ("rate", "1.5"),
        ("rate", "nan"),
        ("rate", "inf"),
        ("steps", "0"),
        ("steps", "2.5"),
        ("seed", "-1"),
        ("profile", "huge"),
        ("train", "always"),
        ("rates", "1e-3"),
        ("rates", "1e-3, 1e-4"),
        ("rates", "[1e-3, -1]"),
        ("rates", '["1e-3"]'),
        ("edits", '[" "]'),
        ("fold", "perhaps"),
    ],
)
def test_refusals_name_the_parameter_and_its_rule(known, name, text):
    with pytest.raises(InputError, match=rf"^Parameter {name} cannot be .*: its type is ") as refusal:
        parameters.parse(known[name], text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices(device):
    known = parameters.read_parameters(notebook('device: str = "auto"  # where'))
    assert parameters.parse(known["device"], device) == device
    with pytest.raises(InputError):
        parameters.parse(known["device"], device + "!")


@pytest.mark.parametrize("line", ["x = 1", "import os", "x: dict = {}", 'profile: str = "a"  # mine [a | b]'])
def test_cells_that_are_no_parameters(line):
    with pytest.raises(InputError, match=r"parameters cell|Parameter"):
        parameters.read_parameters(notebook(line))


def test_a_default_with_an_umlaut_keeps_its_comment():
    found = parameters.read_parameters(notebook('word: str = "Mädchen"  # what it is [not empty]'))
    assert (found["word"].comment, found["word"].rule) == ("what it is", "not empty")
