"""One living process holds a lease; a dead one does not."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil

from helpers import leases
from helpers.files import ROOT


def write(path, *, host=None, pid=None, since=None, age=0.0):
    known = psutil.Process()
    holder = {
        "host": host or socket.gethostname(),
        "pid": pid or known.pid,
        "since": since or leases.age_at_boot(known),
    }
    path.write_text(json.dumps(holder))
    os.utime(path, (time.time() - age,) * 2)


def test_only_one_holds_it_and_it_is_gone_afterwards(tmp_path):
    path = tmp_path / "deep" / "run.lease"
    with leases.lease(path) as first, leases.lease(path) as second:
        assert first and not second and path.exists()
    assert list(path.parent.iterdir()) == []
    with leases.lease(path) as again:
        assert again


def test_a_lease_outlives_an_error_by_nothing(tmp_path):
    path = tmp_path / "run.lease"
    try:
        with leases.lease(path):
            raise RuntimeError
    except RuntimeError:
        pass
    assert not path.exists()


def test_a_dead_holder_has_lost_it(tmp_path):
    path = tmp_path / "run.lease"
    write(path, pid=2**22 - 3, since=1.0)
    with leases.lease(path) as held:
        assert held and json.loads(path.read_text())["pid"] == os.getpid()


def test_a_killed_holder_whose_parent_never_looked_has_lost_it(tmp_path):
    path = tmp_path / "run.lease"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        write(path, pid=child.pid, since=leases.age_at_boot(psutil.Process(child.pid)))
        with leases.lease(path) as held:
            assert not held
        child.kill()
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with leases.lease(path) as held:
            assert held


def test_a_lease_that_was_cut_off_is_judged_by_its_age(tmp_path):
    path = tmp_path / "run.lease"
    path.write_text('{"host": "a')
    with leases.lease(path) as held:
        assert not held
    os.utime(path, (time.time() - leases.LOST_AFTER - 1,) * 2)
    with leases.lease(path) as held:
        assert held


def test_a_process_of_the_same_number_is_not_the_holder(tmp_path):
    path = tmp_path / "run.lease"
    write(path, since=1.0)
    with leases.lease(path) as held:
        assert held


def test_a_holder_elsewhere_is_believed_while_it_touches_its_lease(tmp_path):
    path = tmp_path / "run.lease"
    write(path, host="elsewhere", age=leases.LOST_AFTER / 2)
    with leases.lease(path) as held:
        assert not held
    write(path, host="elsewhere", age=leases.LOST_AFTER * 2)
    with leases.lease(path) as held:
        assert held


def test_a_killed_process_frees_its_lease(tmp_path):
    path = tmp_path / "run.lease"
    code = (
        "import sys, time, pathlib\nfrom helpers.leases import lease\n"
        "with lease(pathlib.Path(sys.argv[1])) as held:\n    print(held, flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "True\n"
    with leases.lease(path) as held:
        assert not held
    holder.kill()
    holder.wait()
    with leases.lease(path) as held:
        assert held


def test_the_holder_touches_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.02)
    path = tmp_path / "run.lease"
    with leases.lease(path):
        os.utime(path, (0, 0))
        for _ in range(200):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.02)
        assert path.stat().st_mtime > 0


def test_a_holder_that_slept_too_long_leaves_its_successors_lease(tmp_path):
    path = tmp_path / "run.lease"
    with leases.lease(path):
        write(path, host="elsewhere")
    assert json.loads(path.read_text())["host"] == "elsewhere"


def test_the_holder_is_known_though_the_clock_was_set(tmp_path, monkeypatch):
    path = tmp_path / "run.lease"
    write(path)
    before, boot = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: before(process) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    with leases.lease(path) as held:
        assert not held
