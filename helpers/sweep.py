"""Sweeps: `python -m helpers.sweep <grid.yaml>` does every run of a grid once, and goes on where it was stopped.

Several processes may be given the same grid: on one machine, in an array of jobs on a shared file
system (`--shard 0/4`), or as tasks of Ray (`--executor ray`). A run is done by one of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import store
from helpers.config import InputError
from helpers.cost import Cost, cost_of, duration
from helpers.footprint import pictures_that_fit
from helpers.grid import Batch, RunConfig, batches, load_grid, pictures_a_step
from helpers.leases import LEASES, lease
from helpers.models import EMBEDDED
from helpers.perform import described, perform, status_of
from helpers.trained import check
from helpers.workbench import load_model, prompts_of, run_hash, workbench_of
from helpers.world.readings import check_asks

log = logging.getLogger(__name__)
EXECUTORS = ("serial", "ray")
OTHERS = 5.0
"""Seconds between two looks at runs that another process does."""
Statuses = dict[str, str]
"""Of runs, by hash: FINISHED, FAILED, or nothing."""


def run_sweep(
    configs: Sequence[RunConfig],
    *,
    executor: str = "serial",
    shard: tuple[int, int] = (0, 1),
    folder: Path = store.RUNS,
    device: str = "auto",
    train: str = "missing",
    retry: bool = False,
    together: int = 0,
    gpus: float = 0.0,
    whole: bool = False,
) -> Statuses:
    """Do the runs of a sweep, or of one shard of it, that are not in the store yet.

    Args:
        configs: all runs; batches are made of all of them, whatever the shard.
        executor: "serial" does one batch after the other here; "ray" does them as Ray tasks, on the cluster this
            process is connected to, else on this machine.
        shard: (i, n): every n-th batch, from the i-th.
        folder: the store.
        device: see models.pick_device.
        train: "missing" does what is not there; "never" refuses to.
        retry: whether runs that failed are tried again.
        together: most runs of a batch; 0 is what fits into this machine's memory. Give it where machines differ, since
            all have to make the same batches.
        gpus: share of a GPU that one Ray task takes; 0 leaves tasks on CPUs.
        whole: whether the store itself must have a run with all its files; else rows in a committed report are enough.

    Returns:
        the status of each run of the shard.

    Raises:
        InputError: a model or concept cannot be loaded, the disk is full, runs are missing that must not be made, or
            an argument is out of its range.
    """
    part, parts = shard
    if executor not in EXECUTORS:
        raise InputError(f"executor is {executor!r}: name one of {', '.join(EXECUTORS)}.")
    if train not in ("missing", "never"):
        raise InputError(f"train is {train!r}: name missing or never.")
    if not 0 <= part < parts:
        raise InputError(f"shard is {part}/{parts}: count from 0, as in 0/4 to 3/4.")
    if together < 0 or gpus < 0:
        raise InputError("together and gpus must be 0 or above.")
    folder, share = Path(folder).absolute(), share_of_memory(executor, gpus)
    planned = planned_batches(configs, device, together=together, share=share)[part::parts]
    known = {batch: statuses(batch, folder, device, whole=whole) for batch in planned}
    missing = [run for found in known.values() for run, status in found.items() if not status]
    if train == "never" and missing:
        raise InputError(f"{len(missing)} runs are not in {folder}, the first is {missing[0]}: use TRAIN=missing.")
    done = {run: status for found in known.values() for run, status in found.items()}
    again = ("", store.FAILED) if retry else ("",)
    left = [batch for batch, found in known.items() if set(again) & set(found.values())]
    if train == "never" or not left:
        return done
    for name, cost in costs(left, device).items():
        log.info("%s: %s", name, cost)
    options = {"folder": folder, "device": device, "share": share, "whole": whole}
    execute = {"serial": serial, "ray": on_ray}[executor]
    done |= progressed(execute(left, gpus=gpus, retry=retry, **options), len(left))
    while "" in done.values():
        log.info("%d runs are being done by another process", list(done.values()).count(""))
        time.sleep(OTHERS)
        known = {batch: statuses(batch, folder, device, whole=whole) for batch in left}
        for found in known.values():
            done |= found
        left = [batch for batch, found in known.items() if "" in found.values()]
        for found in execute(left, gpus=gpus, retry=False, **options):
            done |= found
    return done


def planned_batches(configs: Sequence[RunConfig], device: str, *, together: int = 0, share: float = 1.0) -> list[Batch]:
    """The batches of a sweep, as many runs in each as fit into memory.

    Raises:
        InputError: a run names what its model or its concept does not have.
    """
    found: list[Batch] = []
    for name in dict.fromkeys(config.model for config in configs):
        mine = [config for config in configs if config.model == name]
        if name in EMBEDDED:
            for evaluation in {config.evaluation for config in mine}:
                check_asks(prompts_of(evaluation)[0])
        model = load_model(name, device)
        for config in mine:
            check(config, model.pipeline)
        fit = pictures_that_fit(model.footprint, device=model.pipeline.device, training=True, share=share)
        most = together or max(1, fit // max(pictures_a_step(config.training) for config in mine))
        found += batches(mine, most=most)
    return found


def costs(planned: Sequence[Batch], device: str) -> dict[str, Cost]:
    """What the batches take, by model."""
    by_model: dict[str, list[Batch]] = {}
    for batch in planned:
        by_model.setdefault(batch[0].model, []).append(batch)
    models = {name: load_model(name, device) for name in by_model}
    return {name: cost_of(these, models[name].footprint, models[name].pipeline) for name, these in by_model.items()}


def share_of_memory(executor: str, gpus: float) -> float:
    """Of a machine's memory, of one task."""
    if executor == "serial":
        return 1.0
    return min(1.0, gpus) if gpus else 1.0 / (os.cpu_count() or 1)


def statuses(batch: Batch, folder: Path, device: str, *, whole: bool) -> Statuses:
    """Of the runs of a batch, as they are in the store."""
    bench = workbench_of(batch[0], device)
    return {run: status_of(folder, run, whole=whole) for run in (run_hash(config, bench) for config in batch)}


def progressed(finished: Iterator[Statuses], count: int) -> Statuses:
    """All statuses; says in the log how far it is."""
    began, done = time.monotonic(), {}
    for number, found in enumerate(finished, start=1):
        done |= found
        passed = time.monotonic() - began
        left = duration(passed / number * (count - number))
        log.info("batch %d of %d is done after %s, about %s left", number, count, duration(passed), left)
    return done


def serial(planned: Sequence[Batch], *, gpus: float, **options: Any) -> Iterator[Statuses]:
    """One batch after the other, in this process."""
    for batch in planned:
        yield perform(batch, **options)


def on_ray(planned: Sequence[Batch], *, gpus: float, **options: Any) -> Iterator[Statuses]:
    """Each batch as a task of Ray, as they end; a task whose node is lost is done again on another."""
    try:
        import ray
    except ImportError as error:
        raise InputError("executor ray needs Ray: install the extra [ray], or use executor serial.") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(perform)
    waiting = {task.remote(tuple(map(absolute, batch)), **options): batch for batch in planned}
    while waiting:
        (ready, *_), _ = ray.wait(list(waiting))
        batch = waiting.pop(ready)
        try:
            yield ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from error
            yield failed(batch, error, options)
        except ray.exceptions.RayError as error:  # its worker or node was lost again and again
            yield failed(batch, error, options)


def absolute(config: RunConfig) -> RunConfig:
    """The same run with whole paths: another machine's tasks start in a folder of their own."""
    paths = {name: getattr(config, name) for name in ("model", "scorer", "concept")}
    whole = {name: str(Path(path).absolute()) for name, path in paths.items() if Path(path).is_dir() and "/" in path}
    edits = Path(config.evaluation.edits)
    if edits.is_file():
        whole["evaluation"] = dataclasses.replace(config.evaluation, edits=str(edits.absolute()))
    return dataclasses.replace(config, **whole)


def failed(batch: Batch, error: Exception, options: Mapping[str, Any]) -> Statuses:
    """Put on record that the runs of a batch could not be done, but for those that are."""
    log.error("a batch was lost: %s", error)
    bench, folder = workbench_of(batch[0], options["device"]), options["folder"]
    for config in batch:
        run = run_hash(config, bench)
        with lease(folder / LEASES / f"{run}.lease") as mine:
            if mine and not store.status(folder, run):
                store.write_failure(folder, run, described(config, bench), repr(error))
    return statuses(batch, folder, options["device"], whole=options["whole"])


def shard_of(text: str) -> tuple[int, int]:
    """(i, n) of "i/n"."""
    part, _, parts = text.partition("/")
    return int(part), int(parts)


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and sweep; returns the exit status, 1 if runs failed."""
    parser = argparse.ArgumentParser(prog="python -m helpers.sweep", description=__doc__.split("\n\n")[0])
    parser.add_argument("grid", type=Path, help="YAML file, such as those in notebooks/sweeps")
    parser.add_argument("--executor", choices=EXECUTORS, default="serial", help="here, or as tasks of Ray")
    parser.add_argument("--shard", type=shard_of, default=(0, 1), help="i/n: every n-th batch from the i-th, from 0")
    parser.add_argument("--folder", type=Path, default=store.RUNS, help="where runs are kept")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<number>")
    parser.add_argument("--together", type=int, default=0, help="most runs of a batch; 0 is what fits into memory")
    parser.add_argument("--gpus", type=float, default=0.0, help="share of a GPU of one Ray task")
    parser.add_argument("--retry", action="store_true", help="try runs again that failed")
    arguments = vars(parser.parse_args(words))
    logging.basicConfig(format="%(message)s")
    for ours in ("helpers", __name__):
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        done = run_sweep(load_grid(arguments.pop("grid")), **arguments)
    except KeyboardInterrupt:
        log.info("stopped: the same command goes on with what is not finished")
        return 130
    except (InputError, OSError) as error:
        log.error("%s", error)
        return 2
    failed = [run for run, status in done.items() if status == store.FAILED]
    log.info("%d runs are finished, %d failed, in %s", len(done) - len(failed), len(failed), arguments["folder"])
    for run, status in done.items():
        log.info("%s %s", run, status)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
