"""Starts a Ray head without what we never use: the server for Ray's clients, the dashboard, and the dashboard's agent.

Each is a process that holds 100 MB, works as long as Ray runs and listens; the agent's job API runs what it is sent.
`ray start` has no option for any of it. Run as a program with the arguments of `ray start`. Never returns: it becomes
the head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray._private import node, services
from ray.scripts import scripts

AGENT = "--dashboard_agent_command="  # of the raylet, which starts it, and ends where it ends
# The raylet has to have one: this waits for the end of what it reads, which is the raylet's
NO_AGENT = f'{AGENT}/bin/sh -c "exec cat"'
NONE = "-1"  # as an agent says where it is installed without what it serves with
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")  # files, for which a raylet waits


def without_agent(command: list[str]) -> list[str]:
    """The command of a raylet that starts no agent, which finds written down that it has no ports; others unchanged."""
    if not any(word.startswith(AGENT) for word in command):
        return command
    given = dict(word.split("=", 1) for word in command if "=" in word)
    for port in PORTS:
        Path(given["--session_dir"], f"{port}_{given['--node_id']}").write_text(NONE)
    return [NO_AGENT if word.startswith(AGENT) else word for word in command]


def main() -> None:
    """`ray` as the command, as if what these need was not installed."""
    start = services.start_ray_process

    def start_without_agent(command: list[str], *rest: Any, **named: Any) -> Any:
        return start(without_agent(command), *rest, **named)

    scripts.get_ray_client_dependency_error = lambda: "not wanted"
    services.start_ray_process = start_without_agent
    node.Node.start_api_server = lambda *_, **__: None  # `--include-dashboard=false` starts one that does nothing
    scripts.main()


if __name__ == "__main__":
    main()
