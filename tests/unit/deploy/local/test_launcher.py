"""Tests of what starts processes: a launcher that dies is reported; what our Ray's Python does first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config.settings import Settings
from deploy.local.launcher import Launcher
from deploy.local.ray_driver import Order
from deploy.ray.local_ray import ClusterError

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
