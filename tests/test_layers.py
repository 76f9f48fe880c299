"""Imports go downwards only: notebooks on helpers, reports on methods, methods on data."""

import ast
from graphlib import TopologicalSorter

import pytest

from helpers.files import ROOT

LAYERS = {
    1: "arithmetic concepts config features files hashing models plan progress prompts scorers world.backdrops "
    "world.canvas world.captions world.draw world.edits world.figure world.newcomers world.pen "
    "world.population world.reader world.readings world.sampling world.scene world.spoken world.styles "
    "world.things world.vocabulary",
    2: "attention clouds contrast curves distances evaluation finetune flow footprint geometry grid "
    "interpolation intervals inversion lora objective probes regularizers sample scores sights states stats terms "
    "textspace tokens train travelled",
    3: "artifacts bootstrap check clip_inputs clip_paths clip_report clip_states cost figures geometry_figures "
    "inversion_casts inversion_factors inversion_figures inversion_prepared inversion_report inversion_runs "
    "inversion_sizes inversion_table inversion_uses inversion_verdicts journeys kept lab leases lint "
    "parameters perform personalise pivots reused publish publish_html publish_pictures publish_run results store "
    "sweep trained workbench world.build world.card world.chibi world.clip world.export world.eye "
    "world.fit world.instruments world.measures world.nearmiss world.networks world.pilot world.rendered "
    "world.stages",
}
LAYER = {f"helpers.{name}": layer for layer, names in LAYERS.items() for name in names.split()}
ALONE = {"helpers", "helpers.__main__", "helpers.world"}
"""Modules that import nothing of ours."""


def modules():
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path, known):
    """Return which of our modules a file imports; `from a import b` counts as a.b if that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import: write it out from helpers"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return {name for name in found if name.split(".")[0] in {"helpers", "tests", "benchmarks", "notebooks"}}


KNOWN = dict(modules())
GRAPH = {name: imports(path, KNOWN) for name, path in KNOWN.items()}


@pytest.mark.parametrize("name", GRAPH)
def test_imports_go_downwards(name):
    if name in ALONE:
        assert not GRAPH[name]
        return
    assert name in LAYER, f"{name} has no layer yet: add it to LAYERS in tests/test_layers.py"
    for imported in GRAPH[name] - ALONE:
        assert imported in LAYER, f"{name} imports {imported}, which is no module of helpers with a layer"
        assert LAYER[imported] <= LAYER[name], f"{name} (layer {LAYER[name]}) imports {imported} from above"


def test_no_circles():
    list(TopologicalSorter(GRAPH).static_order())
