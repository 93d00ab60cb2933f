"""Tests of what starts processes: a launcher that dies is reported; what our Ray's Python does first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.config.settings import Settings
from deploy.local.launcher import Launcher
from deploy.local.ray_driver import DONE, Order, progress_line
from deploy.ray.haproxy_home import ClusterError

INTERPRETER = Path(__file__).parents[4] / "deploy" / "ray" / "interpreter"
ORDER = Order(action="deploy", settings=Settings(), address="127.0.0.1:1", metrics_folder="", local=True)


def test_a_launcher_that_died_before_its_order_is_reported_with_what_it_said() -> None:
    launcher = Launcher({"PYTHONHOME": "/nowhere"})  # with which no Python starts
    launcher._process.wait(20)
    launcher.give(ORDER)
    with pytest.raises(ClusterError, match="could not deploy"):
        launcher.finish(20)


def test_our_rays_python_collects_less_and_imports_the_sitecustomize_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs')")
    places = os.pathsep.join(map(str, (INTERPRETER, tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold()[0])"],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["theirs", "50000"]


SERVE_AND_PANDAS = """
import sys
import ray.serve, ray.serve._private.replica, ray.serve._private.controller, ray.serve._private.proxy
print("pandas" in sys.modules)
import pandas
print(pandas.DataFrame({"rooms": [2, 3]})["rooms"].sum())
"""


@pytest.mark.parametrize(("places", "loads"), [(str(INTERPRETER), False), ("", True)], ids=["our Ray's", "any other"])
def test_serve_does_without_pandas_in_our_rays_python_and_others_may_still_import_it(places: str, loads: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE_AND_PANDAS],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(loads), "5"]


STEPS = """
import sys, time
for step in sys.argv[1:]:
    print("progress: " + step, flush=True)
    time.sleep(0.4)
"""
SAYS_AND_DIES = """
import os, signal, sys
print(sys.argv[1], flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""


def of(*steps: str, program: str = STEPS) -> Launcher:
    """A launcher whose driver is this program: one that only says these steps, one each 0.4 s."""
    launcher = Launcher({"PYTHONHOME": "/nowhere"})
    launcher._process.wait(20)
    launcher._process.stdin.close()
    launcher._said.truncate(0)
    launcher._said.seek(0)
    launcher._process = subprocess.Popen(
        [sys.executable, "-c", program, *steps], stdin=subprocess.PIPE, bufsize=0, stdout=launcher._said
    )
    return launcher


def test_a_deployment_that_makes_progress_may_take_longer_than_the_limit() -> None:
    steps = [f"{n} of 9 × Encoder" for n in range(9)]
    reported: list[str] = []
    of(*steps).finish(2.5, reported.append)  # of 3.6
    assert reported[-1] == steps[-1]
    assert set(reported) <= set(steps)


def test_one_that_stands_still_is_given_up_with_what_it_got_to() -> None:
    with pytest.raises(ClusterError, match=r"nothing new for .*; so far 1 of 9 × Encoder"):
        of(*["1 of 9 × Encoder"] * 100).finish(1.0)


def test_a_driver_that_dies_before_it_is_done_is_reported_with_its_signal() -> None:
    with pytest.raises(ClusterError, match=r"\(signal SIGSEGV\): 1 of 9 × Encoder"):
        of("1 of 9 × Encoder", program=SAYS_AND_DIES).finish(20)


def test_a_driver_that_dies_once_it_is_done_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    of(DONE, program=SAYS_AND_DIES).finish(20)
    assert "then ended by signal SIGSEGV" in caplog.text


def test_progress_is_how_many_replicas_of_each_deployment_run() -> None:
    deployments = {
        "RoomWorker": SimpleNamespace(replica_states={"RUNNING": 1, "STARTING": 2}),
        "Encoder": SimpleNamespace(replica_states={"STARTING": 1}),
    }
    assert progress_line(deployments) == "0 of 1 × Encoder, 1 of 3 × RoomWorker"
