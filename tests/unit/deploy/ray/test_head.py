"""Tests of what a Ray head of ours is started without."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.ray.head import AGENT, without_agent

NODE = "ab" * 28


@pytest.mark.parametrize("before", [[], ["--head"]])
def test_a_raylet_is_given_nothing_to_start_as_an_agent_and_finds_that_there_are_no_ports(
    tmp_path: Path, before: list[str]
) -> None:
    agent = f"{AGENT}python agent.py --node-id={NODE} --session-dir=/elsewhere"
    command = ["raylet", *before, f"--session_dir={tmp_path}", f"--node_id={NODE}", agent, "--head"]
    assert without_agent(command) == [*command[:-2], f'{AGENT}/bin/sh -c "exec cat"', command[-1]]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        f"{port}_{NODE}": "-1" for port in ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
    }


def test_other_processes_of_ray_are_started_as_they_are(tmp_path: Path) -> None:
    command = ["gcs_server", f"--session_dir={tmp_path}", f"--node_id={NODE}"]
    assert without_agent(command) == command
    assert not list(tmp_path.iterdir())
