"""Sweeps: `python -m helpers.sweep <grid.yaml>` does every run of a grid once, and goes on where it was stopped.

Several processes may be given the same grid: on one machine, in an array of jobs on a shared file
system (`--shard 0/4`), or as tasks of Ray (`--executor ray`). A run is done by one of them.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers import runs as store
from helpers.config import InputError
from helpers.cost import cost_of, duration, forward_of, runs_that_fit
from helpers.grid import Batch, RunConfig, batches, load_grid
from helpers.perform import perform
from helpers.workbench import workbench_of

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
    retry: bool = False,
    gpus: float = 0.0,
) -> Statuses:
    """Do the runs of a sweep, or of one shard of it, that are not in the store yet.

    Args:
        configs: all runs; batches are made of all of them, whatever the shard.
        executor: "serial" does one batch after the other here; "ray" does them as Ray tasks, on the cluster this
            process is connected to, else on this machine.
        shard: (i, n): every n-th batch, from the i-th.
        folder: the store.
        device: see models.pick_device.
        retry: whether runs that failed are tried again.
        gpus: share of a GPU that one Ray task takes; 0 leaves tasks on CPUs.

    Returns:
        the status of each run of the shard.

    Raises:
        InputError: a model or concept cannot be loaded, the disk is full, or an argument is out of its range.
    """
    part, parts = shard
    if executor not in EXECUTORS:
        raise InputError(f"executor is {executor!r}: name one of {', '.join(EXECUTORS)}.")
    if not 0 <= part < parts:
        raise InputError(f"shard is {part}/{parts}: count from 0, as in 0/4 to 3/4.")
    planned = planned_batches(configs, device)[part::parts]
    done: Statuses = {}
    options = {"folder": Path(folder).absolute(), "device": device, "retry": retry}
    began, executed = time.monotonic(), {"serial": serial, "ray": on_ray}[executor]
    for number, statuses in enumerate(executed(planned, gpus=gpus, **options), start=1):
        done |= statuses
        passed = time.monotonic() - began
        left = duration(passed / number * (len(planned) - number))
        log.info("batch %d of %d is done after %s, about %s left", number, len(planned), duration(passed), left)
    while "" in done.values():
        log.info("%d runs are being done by another process", list(done.values()).count(""))
        time.sleep(OTHERS)
        for statuses in serial(planned, gpus=gpus, **options | {"retry": False}):
            done |= statuses
    return done


def planned_batches(configs: Sequence[RunConfig], device: str) -> list[Batch]:
    """The batches of a sweep, as many runs in each as fit into memory; says in the log what they will take."""
    found: list[Batch] = []
    for model in dict.fromkeys(config.model for config in configs):
        mine = [config for config in configs if config.model == model]
        pipeline = workbench_of(mine[0], device).pipeline
        forward = forward_of(pipeline)
        size = max(config.training.batch_size for config in mine)
        these = batches(mine, most=runs_that_fit(forward, batch_size=size, device=pipeline.device))
        log.info("%s in %d batches: %s", model, len(these), cost_of(these, forward, pipeline))
        found += these
    return found


def serial(planned: Sequence[Batch], *, gpus: float, **options: object) -> Iterator[Statuses]:
    """One batch after the other, in this process."""
    for batch in planned:
        yield perform(batch, **options)


def on_ray(planned: Sequence[Batch], *, gpus: float, **options: object) -> Iterator[Statuses]:
    """Each batch as a task of Ray, as they end; a task whose node is lost is done again on another."""
    try:
        import ray
    except ImportError as error:
        raise InputError("executor ray needs Ray: install the extra [ray], or use executor serial.") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=3)(perform)
    waiting = [task.remote(batch, **options) for batch in planned]
    while waiting:
        ready, waiting = ray.wait(waiting)
        for one in ready:
            try:
                yield ray.get(one)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, InputError):
                    raise error.cause from error
                raise


def shard_of(text: str) -> tuple[int, int]:
    """(i, n) of "i/n"."""
    part, _, parts = text.partition("/")
    return int(part), int(parts)


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and sweep; returns the exit status, 1 if runs failed."""
    parser = argparse.ArgumentParser(prog="python -m helpers.sweep", description=__doc__.split("\n\n")[0])
    parser.add_argument("grid", type=Path, help="YAML file, such as those in notebooks/sweeps")
    parser.add_argument("--executor", choices=EXECUTORS, default="serial")
    parser.add_argument("--shard", type=shard_of, default=(0, 1), help="i/n: every n-th batch from the i-th, from 0")
    parser.add_argument("--folder", type=Path, default=store.RUNS, help="where runs are kept")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gpus", type=float, default=0.0, help="share of a GPU of one Ray task")
    parser.add_argument("--retry", action="store_true", help="try runs again that failed")
    arguments = vars(parser.parse_args(words))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        done = run_sweep(load_grid(arguments.pop("grid")), **arguments)
    except InputError as error:
        log.error("%s", error)
        return 2
    failed = [run for run, status in done.items() if status == store.FAILED]
    log.info("%d runs are finished, %d failed", len(done) - len(failed), len(failed))
    for run in failed:
        log.info("failed: %s", arguments["folder"] / run)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
