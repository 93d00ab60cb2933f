"""Tests of what a host of a cluster is given before its `ray start`: limits, store, HAProxy of its own."""

from __future__ import annotations

import json
import os
import shlex
import stat
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.config.http_settings import HttpConfig
from deploy.config.proxy_limits import ProxyLimits
from deploy.ray.cluster_host import HOST_FOLDER, LONGEST_FOLDER, ClusterHost
from deploy.ray.haproxy_home import ClusterError


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A short path, as a host has it."""
    monkeypatch.chdir(tmp_path)
    return Path("host")


def test_a_silent_host_is_gone_after_nine_seconds(folder: Path) -> None:
    given = ClusterHost(folder).environment(ProxyLimits())
    period_ms, timeout_ms = (int(given[f"RAY_health_check_{name}_ms"]) for name in ("period", "timeout"))
    assert (period_ms + timeout_ms) * int(given["RAY_health_check_failure_threshold"]) <= 9_000
    assert given["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert int(given["RAY_gcs_rpc_server_reconnect_timeout_s"]) > 60  # Ray's own: then all hosts go dark with the head


def test_only_the_head_is_told_where_it_keeps_what_it_knows(folder: Path) -> None:
    head = ClusterHost(folder, "10.0.0.9:6379", "live").environment(ProxyLimits())
    assert (head["RAY_REDIS_ADDRESS"], head["RAY_external_storage_namespace"]) == ("10.0.0.9:6379", "live")
    assert "RAY_REDIS_ADDRESS" not in ClusterHost(folder).environment(ProxyLimits())


def test_a_hosts_processes_find_our_code_and_start_as_those_of_one_machine_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Path(__file__).resolve().parents[4]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/theirs", str(checkout)]))
    places = ClusterHost(folder).environment(ProxyLimits())["PYTHONPATH"].split(os.pathsep)
    assert (Path(places[0]) / "sitecustomize.py").exists()
    assert places[1:] == [str(checkout), "/theirs"]


def test_haproxy_of_a_host_is_ours_with_the_limits_of_the_settings(folder: Path) -> None:
    limits = HttpConfig(max_connections=777).limits
    given = ClusterHost(folder).environment(limits)
    launcher = Path(given["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert launcher.stat().st_mode & stat.S_IXUSR
    words = shlex.split(launcher.read_text().splitlines()[1])
    assert ProxyLimits(**json.loads(words[words.index("-E") + 2])) == limits
    assert Path(words[words.index("-E") + 1]).name == "haproxy.py"
    assert all(
        given[f"RAY_SERVE_HAPROXY_{name}"].startswith(str(folder)) for name in ("SOCKET_PATH", "CONFIG_FILE_LOC")
    )
    assert given[HOST_FOLDER] == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=f"{LONGEST_FOLDER} characters fit"):
        ClusterHost(tmp_path / ("x" * LONGEST_FOLDER)).environment(ProxyLimits())


def test_the_command_prints_lines_for_a_shell_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("/tmp/tidecast-host-t")
    assert main(["cluster-env", "--folder", str(folder), "--redis", "10.0.0.9:6379"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("export ") for line in lines)
    assert "export RAY_REDIS_ADDRESS=10.0.0.9:6379" in lines
    assert main(["cluster-env", "--folder", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[HOST_FOLDER] == str(folder)
