"""The start of a Ray head without three processes: the server for Ray clients, the dashboard, and its agent.

Tidecast uses none of them. Each takes 100 MB, works as long as Ray runs, and listens; the agent's job API runs code
that it is sent. `ray start` has no option for any of it. Run it as a program with the arguments of `ray start`. Never
returns: it becomes the head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray._private import node, services
from ray.scripts import scripts

AGENT = "--dashboard_agent_command="  # an argument of the raylet, which starts the agent, and ends when it ends
# the raylet must have an agent: this one waits for the end of its input, which is the raylet's end
NO_AGENT = f'{AGENT}/bin/sh -c "exec cat"'
NONE = "-1"  # as an agent reports that is installed without its server
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")  # files, for which a raylet waits


def without_agent(command: list[str]) -> list[str]:
    """A raylet's command changed to start no agent, with the ports' files written. Other commands stay unchanged."""
    if not any(word.startswith(AGENT) for word in command):
        return command
    given = dict(word.split("=", 1) for word in command if "=" in word)
    for port in PORTS:
        Path(given["--session_dir"], f"{port}_{given['--node_id']}").write_text(NONE)
    return [NO_AGENT if word.startswith(AGENT) else word for word in command]


def main() -> None:
    """Runs `ray` as if the requirements of these processes were not installed."""
    start = services.start_ray_process

    def start_without_agent(command: list[str], *rest: Any, **named: Any) -> Any:
        return start(without_agent(command), *rest, **named)

    scripts.get_ray_client_dependency_error = lambda: "not wanted"
    services.start_ray_process = start_without_agent
    node.Node.start_api_server = lambda *_, **__: None  # `--include-dashboard=false` starts one that does nothing
    scripts.main()


if __name__ == "__main__":
    main()
