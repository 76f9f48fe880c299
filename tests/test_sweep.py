"""A sweep does every run once, whatever stops it; shards, other processes and Ray give the same numbers."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from PIL import Image

from helpers import footprint, grid, perform, stats, store, sweep, trained, workbench
from helpers.config import InputError
from helpers.files import ROOT

EDITS = {"object": ["a photo of S* next to a ball"], "style": ["a pencil sketch of S*"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a pipeline, a scorer, a concept and edit prompts."""
    folder = tmp_path_factory.mktemp("world")
    tiny.pipeline().save_pretrained(folder / "model")
    tiny.save_scorer(folder / "scorer")
    (folder / "concept").mkdir()
    for n in range(3):
        pixels = np.random.default_rng(n).integers(0, 255, (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "concept" / f"{n}.png")
    (folder / "edits.yaml").write_text(yaml.safe_dump(EDITS))
    return folder


def content(world, **training):
    settings = {"class_word": "toy", "learning_rate": [0.01, 0.1], "steps": 4, "batch_size": 2, "checkpoints": [2]}
    return {
        "method": "inversion",
        "model": str(world / "model"),
        "scorer": str(world / "scorer"),
        "concept": str(world / "concept"),
        "training": {**settings, "seed": [0, 1], **training},
        "evaluation": {
            "photos": 3,
            "edits": str(world / "edits.yaml"),
            "edited": 2,
            "sampling": {"steps": 2, "batch_size": 4},
        },
    }


def write_grid(world, tmp_path, **training):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(content(world, **training)))
    return path


def rows_of(folder):
    return store.load_runs(folder, committed=None).sort_values(["run", "step", "prompt", "index"], ignore_index=True)


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """Rows of a sweep of four runs that nothing stopped, and its folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = sweep.run_sweep(grid.load_grid(write_grid(world, folder)), folder=folder / "runs")
    assert sorted(done.values()) == ["finished"] * 4
    return rows_of(folder / "runs")


def test_a_run_has_rows_of_all_checkpoints(undisturbed):
    assert undisturbed.groupby(["run", "step"]).size().tolist() == [3 + 2 * 2] * 8
    assert set(undisturbed["kind"]) == {"photo", "object", "style"} and undisturbed["text_cosine"].notna().all()
    assert {"reconstruction_training", "nearest", "editability", "diversity", "training.learning_rate"} <= set(
        undisturbed
    )


def test_rows_of_a_sweep_are_what_intervals_want(undisturbed):
    last = undisturbed[undisturbed["step"] == 4]
    keys = {"condition": "training.learning_rate", "minuend": 0.1, "subtrahend": 0.01}
    difference = stats.paired(last, "reconstruction_training", **keys)
    assert (difference.n, difference.unit) == (2, "seeds") and difference.low <= difference.value <= difference.high


def test_checkpoints_are_those_of_a_shorter_run(undisturbed, world, tmp_path):
    configs = grid.load_grid(write_grid(world, tmp_path, steps=2))
    sweep.run_sweep(configs, folder=tmp_path / "runs")
    keys = ["training.learning_rate", "training.seed", "prompt", "index"]
    short = rows_of(tmp_path / "runs").set_index(keys)["reconstruction_training"].sort_index()
    long = undisturbed[undisturbed["step"] == 2].set_index(keys)["reconstruction_training"].sort_index()
    pd.testing.assert_series_equal(short, long)


def test_what_is_finished_is_not_done_again(world, tmp_path, undisturbed, monkeypatch):
    configs = grid.load_grid(write_grid(world, tmp_path))
    first = sweep.run_sweep(configs, folder=tmp_path / "runs", shard=(0, 2))
    assert len(first) == 2
    sweep.run_sweep(configs, folder=tmp_path / "runs", shard=(1, 2))
    pd.testing.assert_frame_equal(rows_of(tmp_path / "runs"), undisturbed)
    monkeypatch.setattr(perform, "train_batch", lambda *arguments: pytest.fail("it was done again"))
    assert sorted(sweep.run_sweep(configs, folder=tmp_path / "runs").values()) == ["finished"] * 4


def test_a_damaged_run_is_done_again_as_it_was(world, tmp_path, undisturbed):
    configs = grid.load_grid(write_grid(world, tmp_path))
    done = sweep.run_sweep(configs, folder=tmp_path / "runs")
    scores = tmp_path / "runs" / next(iter(done)) / "scores.parquet"
    scores.write_bytes(scores.read_bytes()[:-100])
    sweep.run_sweep(configs, folder=tmp_path / "runs")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "runs"), undisturbed)


def test_a_run_that_is_not_finite_is_recorded_with_its_step(world, tmp_path):
    configs = grid.load_grid(write_grid(world, tmp_path, learning_rate=[0.01, 1e38], seed=0))
    done = sweep.run_sweep(configs, folder=tmp_path / "runs")
    assert sorted(done.values()) == ["failed", "finished"]
    (failed,) = (run for run, status in done.items() if status == "failed")
    assert "not finite at step" in json.loads((tmp_path / "runs" / failed / "result.json").read_text())["error"]


def test_a_failure_is_recorded_and_tried_again_on_request(world, tmp_path, monkeypatch):
    path = write_grid(world, tmp_path, seed=0)
    broken = pytest.MonkeyPatch()
    broken.setattr(perform, "train_batch", lambda *arguments: 1 / 0)
    assert sweep.main([str(path), "--folder", str(tmp_path / "runs")]) == 1
    broken.undo()
    assert sweep.main([str(path), "--folder", str(tmp_path / "runs")]) == 1
    assert sweep.main([str(path), "--folder", str(tmp_path / "runs"), "--retry"]) == 0


def test_finetuning_starts_from_one_pivot(world, tmp_path):
    whole = content(world)
    pivot = {"class_word": "toy", "steps": 2, "batch_size": 2}
    whole |= {"method": "finetuning", "pivot": pivot}
    whole["training"] = {"learning_rate": [1e-4, 1e-3], "steps": 2, "batch_size": 2}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    done = sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
    assert list(done.values()) == ["finished"] * 2
    assert len(list((tmp_path / "runs").glob("*.safetensors"))) == 1 + 2, "one pivot, and what two runs learned"
    assert rows_of(tmp_path / "runs").groupby("run")["reconstruction_training"].mean().nunique() == 2


def test_prior_preservation_is_an_axis_of_a_sweep(world, tmp_path):
    whole = content(world) | {"method": "finetuning"}
    whole["training"] = {"subject": "toy", "steps": 2, "batch_size": 2, "prior_weight": [0.0, 1.0], "class_images": 3}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    (batch,) = sweep.planned_batches(grid.load_grid(tmp_path / "grid.yaml"), "cpu")
    done = sweep.run_sweep(batch, folder=tmp_path / "runs")
    assert list(done.values()) == ["finished"] * 2
    losses = [store.load_metrics(tmp_path / "runs", run)["loss"].iloc[0] for run in done]
    assert losses[1] > losses[0], "the class's pictures have a loss too"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"training": {"subject": "toy", "targets": ["to_z"]}}, "to_z"),
        ({"training": {"subject": "toy", "template_set": "none"}}, "template"),
        ({"method": "inversion", "training": {"class_word": "zebra"}}, "zebra"),
    ],
)
def test_what_the_model_does_not_have_is_refused_before_anything_runs(world, tmp_path, changes, part):
    whole = content(world) | {"method": "finetuning"} | changes
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    with pytest.raises(InputError, match=part):
        sweep.planned_batches(grid.load_grid(tmp_path / "grid.yaml"), "cpu")


def test_a_pivot_that_fails_spoils_its_own_runs_only(world, tmp_path):
    whole = content(world) | {"method": "finetuning"}
    whole["pivot"] = {"class_word": "toy", "steps": 2, "batch_size": 2, "learning_rate": [0.01, 1e38]}
    whole["training"] = {"learning_rate": 1e-3, "steps": 2, "batch_size": 2}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    done = sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
    assert sorted(done.values()) == ["failed", "finished"]


def test_other_pictures_need_no_new_training(world, tmp_path, monkeypatch):
    whole = content(world, seed=0)
    for count in (2, 3):
        whole["evaluation"]["edited"] = count
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
        done = sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
        assert list(done.values()) == ["finished"] * 2
        monkeypatch.setattr(trained, "invert", lambda *given, **options: pytest.fail("it was trained again"))
    assert rows_of(tmp_path / "runs")["run"].nunique() == 4


def test_results_can_be_scored_one_by_one(world, tmp_path, undisturbed):
    whole = content(world)
    whole["evaluation"]["at"] = [2]
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
    rows, keys = rows_of(tmp_path / "runs"), ["training.learning_rate", "training.seed", "prompt", "index"]
    first, alone = (table.set_index(keys)["text_cosine"].sort_index() for table in (undisturbed, rows))
    assert set(rows["step"]) == {2} and first.index.nunique() == len(alone)
    pd.testing.assert_series_equal(first[undisturbed.set_index(keys).sort_index()["step"] == 2], alone)
    whole["evaluation"]["at"] = [3]
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    with pytest.raises(InputError, match="add them to its checkpoints"):
        grid.load_grid(tmp_path / "grid.yaml")


def test_learned_tokens_are_used_in_other_ways(world, tmp_path, monkeypatch):
    whole = content(world) | {"method": "reuse"}
    pivot = {"class_word": "toy", "steps": 2, "batch_size": 2, "learning_rate": 0.1}
    concepts = [str(world / "concept"), str(world / "concept")]
    for of in ([], concepts):
        whole |= {"pivot": pivot, "training": {"class_word": "toy", "turn": [0.0, 1.0], "of": of}}
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
        done = sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
        assert list(done.values()) == ["finished"] * 2
        still, all_the_way = (store.load_checkpoint(tmp_path / "runs", run, 0) for run in done)
        assert len(still["rows"]) == len(still["initial"]) == (2 if of else 1)
        assert torch.allclose(all_the_way["rows"] / all_the_way["rows"].norm(dim=1, keepdim=True),
                              still["initial"] / still["initial"].norm(dim=1, keepdim=True), atol=1e-5)  # fmt: skip
        measured = store.load_metrics(tmp_path / "runs", next(iter(done)))
        assert measured["displacement"].item() > 0 and measured["step"].item() == -1
    kept = list((tmp_path / "runs").glob("*.safetensors"))
    assert len(kept) == 1, "one token was learned, for all of them"
    config = grid.load_grid(tmp_path / "grid.yaml")[0]
    before = workbench.run_hash(config, workbench.workbench_of(config))
    monkeypatch.setattr(workbench.Concept, "fingerprint", "another")
    assert workbench.run_hash(config, workbench.workbench_of(config)) != before, "the pictures of both are in it"


def test_a_field_without_effect_makes_no_other_run(world, tmp_path):
    whole = content(world) | {"method": "finetuning"}
    whole["training"] = {"subject": "toy", "steps": 2, "class_images": [3, 4], "prior_weight": [0.0, 1.0]}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    configs = grid.load_grid(tmp_path / "grid.yaml")
    bench = workbench.workbench_of(configs[0])
    assert len({workbench.run_hash(config, bench) for config in configs}) == 3
    assert len({trained.training_hash(config, bench) for config in configs}) == 3


def test_how_pictures_are_packed_is_no_other_run(world, tmp_path):
    (config, *_) = grid.load_grid(write_grid(world, tmp_path))
    sampling = dataclasses.replace(config.evaluation.sampling, batch_size=2)
    packed = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, sampling=sampling))
    bench = workbench.workbench_of(config)
    assert workbench.run_hash(config, bench) == workbench.run_hash(packed, bench)


def test_paths_are_whole_on_their_way_to_other_machines(world, tmp_path, monkeypatch):
    (config, *_) = grid.load_grid(write_grid(world, tmp_path))
    monkeypatch.chdir(world.parent)
    names = ("model", "scorer", "concept")
    local = {name: str(Path(getattr(config, name)).relative_to(world.parent)) for name in names}
    assert sweep.absolute(dataclasses.replace(config, **local)) == config
    named = dataclasses.replace(config, model="chibi", concept="alba")
    assert (sweep.absolute(named).model, sweep.absolute(named).concept) == ("chibi", "alba")


def test_a_masked_loss_needs_masks(world, tmp_path):
    whole = content(world) | {"method": "finetuning"}
    whole["training"] = {"subject": "toy", "steps": 2, "batch_size": 2, "masked": True}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    with pytest.raises(InputError, match="no masks"):
        sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")


def test_the_model_as_it_was_is_a_run_too(world, tmp_path):
    whole = content(world) | {"method": "reference", "training": {"class_word": ["toy", "toy", ""]}}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(whole))
    done = sweep.run_sweep(grid.load_grid(tmp_path / "grid.yaml"), folder=tmp_path / "runs")
    assert list(done.values()) == ["finished"] * 2 and set(rows_of(tmp_path / "runs")["step"]) == {0}
    vectors = [store.load_vectors(tmp_path / "runs", run) for run in done]
    assert vectors[0].shape == (7, 16) and not torch.equal(*vectors)
    assert torch.allclose(vectors[0].norm(dim=1), torch.ones(7), atol=1e-2)


def test_the_cost_is_said_before_the_start(world, tmp_path, caplog):
    configs = grid.load_grid(write_grid(world, tmp_path))
    planned = sweep.planned_batches(configs, "cpu")
    assert "4 runs and 56 pictures: about" in str(sweep.costs(planned, "cpu")[configs[0].model])
    sweep.run_sweep(configs, folder=tmp_path / "runs", shard=(0, 2))
    with caplog.at_level("INFO"):
        sweep.run_sweep(configs, folder=tmp_path / "runs")
    assert "2 runs and 28 pictures: about" in caplog.text and "MB on disk" in caplog.text, "only what is left counts"


def test_pictures_fit_into_memory(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(footprint.psutil, "virtual_memory", lambda: type("", (), {"total": 64 * 2**30}))

    def fit(size, **options):
        one = footprint.Footprint(bytes=size, seconds=1)
        return footprint.pictures_that_fit(one, device=cpu, **{"training": True, **options})

    assert fit(2**30) == 12 and fit(2**30, training=False) == 38 and fit(2**30, share=0.5) == 6
    assert fit(1) == 64 and fit(2**50) == 1


def test_what_is_missing_is_not_made_if_it_must_not(world, tmp_path, undisturbed):
    configs = grid.load_grid(write_grid(world, tmp_path))
    with pytest.raises(InputError, match="4 runs are not in"):
        sweep.run_sweep(configs, folder=tmp_path / "runs", train="never")


def test_rows_in_a_committed_report_are_finished(world, tmp_path, undisturbed, monkeypatch):
    configs = grid.load_grid(write_grid(world, tmp_path))
    known = frozenset(undisturbed["run"])
    monkeypatch.setattr(store, "committed_runs", lambda: known)
    assert set(sweep.run_sweep(configs, folder=tmp_path / "runs", train="never")) == known
    with pytest.raises(InputError, match="4 runs are not in"):
        sweep.run_sweep(configs, folder=tmp_path / "runs", train="never", whole=True)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"shard": (2, 2)}, "shard"),
        ({"executor": "slurm"}, "serial, ray"),
        ({"together": -1}, "together"),
        ({"train": "sometimes"}, "missing or never"),
    ],
)
def test_bad_arguments_are_refused(options, part):
    with pytest.raises(InputError, match=part):
        sweep.run_sweep([], **options)


def command(path: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "helpers.sweep", str(path), "--folder", str(folder)]


def start(path: Path, folder: Path) -> subprocess.Popen:
    return subprocess.Popen(command(path, folder), cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)


def kill_in_the_middle(path: Path, folder: Path, later: float) -> None:
    """Start the sweep and kill it some seconds after it holds a lease."""
    running = start(path, folder)
    while not list(folder.glob(".leases/*.lease")) and running.poll() is None:
        time.sleep(0.01)
    time.sleep(later)
    os.killpg(running.pid, signal.SIGKILL) if running.poll() is None else None
    running.wait()


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_killed_sweep_goes_on_where_it_stopped(world, tmp_path, undisturbed, times):
    path, chance = write_grid(world, tmp_path), random.Random(os.getpid())
    finished = {}
    for _ in range(times):
        kill_in_the_middle(path, tmp_path / "runs", chance.uniform(0, 2))
        for result in (tmp_path / "runs").glob("*/result.json"):
            finished.setdefault(result, result.stat().st_mtime_ns)
    assert start(path, tmp_path / "runs").wait() == 0
    pd.testing.assert_frame_equal(rows_of(tmp_path / "runs"), undisturbed)
    assert all(result.stat().st_mtime_ns == written for result, written in finished.items()), "none was made twice"


def test_two_processes_do_every_run_once(world, tmp_path, undisturbed):
    path = write_grid(world, tmp_path)
    both = [start(path, tmp_path / "runs") for _ in range(2)]
    assert [one.wait(timeout=300) for one in both] == [0, 0]
    pd.testing.assert_frame_equal(rows_of(tmp_path / "runs"), undisturbed)
    assert not list((tmp_path / "runs").glob(".leases/*.lease"))


@pytest.fixture
def small_disk(tmp_path):
    """A folder of its own file system, which has room for two of the four runs, and a function that enlarges it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_sweep_and_leaves_what_is_finished(world, tmp_path, undisturbed, small_disk):
    folder, enlarge = small_disk
    path = write_grid(world, tmp_path)
    stopped = subprocess.run(command(path, folder / "runs"), cwd=ROOT, capture_output=True, text=True)
    assert stopped.returncode == 2 and "is full: make room" in stopped.stderr.splitlines()[-1]
    assert "Traceback" not in stopped.stderr
    before = rows_of(folder / "runs")
    assert 1 <= before["run"].nunique() < 4
    enlarge()
    assert start(path, folder / "runs").wait() == 0
    pd.testing.assert_frame_equal(rows_of(folder / "runs"), undisturbed)


@pytest.fixture
def cluster():
    """Two Ray nodes of one CPU each on this machine, and this process connected to them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    both = Cluster(initialize_head=True, head_node_args=small)
    small.pop("include_dashboard")
    second = both.add_node(**small)
    ray.init(address=both.address, log_to_driver=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as Ray's tasks have: another number rounds otherwise
    yield both, second
    torch.set_num_threads(threads)
    ray.shutdown()
    both.shutdown()


@pytest.mark.slow
def test_ray_gives_the_scores_of_serial(world, tmp_path, cluster):
    configs = grid.load_grid(write_grid(world, tmp_path, seed=list(range(4))))  # 8 runs in 4 batches
    assert sorted(sweep.run_sweep(configs, folder=tmp_path / "ray", executor="ray").values()) == ["finished"] * 8
    sweep.run_sweep(configs, folder=tmp_path / "serial")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "ray"), rows_of(tmp_path / "serial"))


@pytest.mark.slow
def test_ray_survives_the_loss_of_a_node(world, tmp_path, cluster):
    configs = grid.load_grid(write_grid(world, tmp_path, seed=list(range(4)), steps=40, checkpoints=[20]))
    nodes, second = cluster

    def lose() -> None:
        while not list((tmp_path / "ray").glob(".leases/*.lease")):
            time.sleep(0.05)
        nodes.remove_node(second, allow_graceful=False)

    losing = threading.Thread(target=lose)
    losing.start()
    assert sorted(sweep.run_sweep(configs, folder=tmp_path / "ray", executor="ray").values()) == ["finished"] * 8
    losing.join()
    sweep.run_sweep(configs, folder=tmp_path / "serial")
    pd.testing.assert_frame_equal(rows_of(tmp_path / "ray"), rows_of(tmp_path / "serial"))
