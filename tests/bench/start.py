"""What a start takes: processor time of every command's --help, of `tidecast config`, of each process's imports.

    python -m tests.bench.start [--rounds N] [--json]

Each figure is the least of N processes, by the kernel's accounting. Beside it stands the ratio to what lies underneath,
measured in the same run: for a command, an interpreter that imports typer and msgspec; for a process of the
application, one that imports what Ray Serve imports for a replica that does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import deploy.ray
from deploy.cli import COMMANDS

INTERPRETER = Path(deploy.ray.__path__[0], "interpreter")
REPLICA = "import ray.serve._private.replica"
COMMAND = "import typer, msgspec"
# What each process imports besides what Ray does: its deployment's module, the settings that it unpickles, its worker.
PROCESSES = {
    "RoomWorker": "import deploy.serve.replicas, deploy.config.settings, actors.rooms.worker",
    "ProfileWorker": "import deploy.serve.replicas, deploy.config.settings, actors.profiles.worker",
    "Encoder": "import deploy.serve.encoder.encoder_replica, deploy.config.settings, training.content.text_encoder",
    "Recommender": "import deploy.serve.recommender_replica, deploy.config.settings, actors.recommend.recommender,"
    " actors.versions.swap, training.inference.served_model",
    "Archiver": "import deploy.serve.background_replicas, deploy.config.settings, streaming.archive.archiver",
    "Trainer": "import deploy.serve.background_replicas, deploy.config.settings, deploy.train.trainer",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="processes a figure (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    bare = {"command": processor_s(["-c", COMMAND], args.rounds), "process": processor_s(["-c", REPLICA], args.rounds)}
    commands = {"--help": ["--help"], "config": ["config"], **{f"{name} --help": [name, "--help"] for name in COMMANDS}}
    started = {name: processor_s(["-m", "deploy.cli", *words], args.rounds) for name, words in commands.items()}
    processes = {name: processor_s(["-c", f"{REPLICA}\n{code}"], args.rounds) for name, code in PROCESSES.items()}
    if args.json:
        print(json.dumps({"bare": bare, "commands": started, "processes": processes}))
        return
    for kind, figures in (("command", started), ("process", processes)):
        print(f"{'bare ' + kind:<24}{bare[kind]:7.3f} s")
        for name, seconds in figures.items():
            print(f"{name:<24}{seconds:7.3f} s   ratio {seconds / bare[kind]:.2f}")


def processor_s(words: list[str], rounds: int) -> float:
    """Processor time of `python WORDS`, user and system, in seconds: the least of some runs. Raises where one fails."""
    return round(min(_once([sys.executable, *words]) for _ in range(rounds)), 4)


def _once(command: list[str]) -> float:
    places = os.pathsep.join([str(INTERPRETER), os.environ.get("PYTHONPATH", "")])  # as every process of our Ray has it
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": places})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
