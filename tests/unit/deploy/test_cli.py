"""Tests of deploy.cli and deploy.local.package_check. Never runs a command that needs a broker."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import pytest
import typer

from deploy import cli
from deploy.commands.command_line import module_name
from deploy.local.package_check import shadowing
from deploy.terminal.console import UNSAFE, as_json
from streaming.errors import ConfigError, LogUnavailable
from streaming.machine.ports import free_port
from streaming.simulated.config import SimulationConfig

ROOT = Path(__file__).resolve().parents[3]


def run_cli(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own, as the installed script does."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; from deploy.cli import main; sys.exit(main())", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environ},
    )


def give_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes `config` a command that fails with `error`."""

    def run() -> int:
        raise error

    monkeypatch.setattr("deploy.commands.config.run", run)


def test_help_lists_every_command_and_imports_none() -> None:
    code = "import sys, deploy.cli\ndeploy.cli.main(['--help'])\nprint(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert not any(f"deploy.commands.{module_name(name)}" in done.stdout for name in cli.COMMANDS)
    assert "'torch'" not in done.stdout
    assert "'ray'" not in done.stdout


HEAVY = (
    "faiss",
    "kafka",
    "llvmlite",
    "numba",
    "numpy",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "ray",
    "rich",
    "scipy",
    "torch",
)


@pytest.mark.parametrize("words", [["config"], *([name, "--help"] for name in sorted(cli.COMMANDS))], ids=" ".join)
def test_help_and_configuration_import_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys, deploy.cli
deploy.cli.main({words})
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stderr.strip() == "[]"


PROCESSES = {
    "actors.rooms.worker": ("torch", "transformers", "faiss", "numba", "scipy", "rich"),
    "actors.profiles.worker": ("torch", "transformers", "faiss", "numba", "scipy", "rich"),
    "actors.recommend.recommender": ("torch", "transformers", "pandas", "rich"),
    "streaming.archive.archiver": ("torch", "transformers", "faiss", "numba", "scipy", "rich"),
    "deploy.train.trainer": ("torch", "transformers", "faiss", "numba", "scipy", "rich", "pyarrow"),
    "deploy.local.system": ("torch", "transformers", "faiss", "numba", "scipy", "numpy", "ray"),
}


@pytest.mark.parametrize("module", PROCESSES)
def test_a_process_imports_what_it_runs(module: str) -> None:
    shown = f"print([name for name in {PROCESSES[module]} if name in sys.modules])"
    code = f"import sys, deploy.config.settings, {module}\n{shown}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_a_module_and_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert importlib.import_module(f"deploy.commands.{module_name(name)}")
    assert cli.main([name, "--help"]) == 0
    assert f"tidecast {name}" in capsys.readouterr().out.partition("options:")[2], "the epilog shows no example"


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("config --json", ["config"]),
        ("--config config.toml -v config --help", ["config"]),
        ("--config=x.toml config --help", ["config"]),
        ("rooms --limitt", ["rooms"]),
        ("--config", []),
        ("unheard-of", []),
        ("", []),
    ],
)
def test_only_the_module_of_the_command_is_imported_whatever_stands_before_it(line: str, commands: list[str]) -> None:
    code = f"""
import sys, deploy.cli
deploy.cli.main({line.split()})
print([name for name in deploy.cli.COMMANDS if f"deploy.commands.{{name}}" in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stderr.splitlines()[-1] == str(commands)


@pytest.mark.parametrize(
    "line", ["--config c.toml -vv config", "config --config c.toml -vv", "-vv config --config c.toml"]
)
def test_global_options_work_before_and_after_the_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def run(context: typer.Context) -> int:
        heard.append((context.obj.config, context.obj.verbose))
        return 0

    monkeypatch.setattr("deploy.commands.config.run", run)
    assert cli.main(line.split()) == 0
    assert heard == [(Path("c.toml"), 2)]


@pytest.mark.parametrize("line", ["-v archive ls", "archive -v ls", "archive ls -v", "archive ls chat -v"])
def test_global_options_work_before_and_after_an_action(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def run(context: typer.Context, action: str, topic: Annotated[str, typer.Argument()] = "") -> int:
        heard.append((action, context.obj.verbose))
        return 0

    monkeypatch.setattr("deploy.commands.archive.run", run)
    assert cli.main(line.split()) == 0
    assert heard == [("ls", 1)]


def test_what_a_command_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.commands.config.run", lambda: 1)
    assert cli.main(["config"]) == 1


def test_end_of_input_and_a_pipe_that_a_command_itself_lost_are_its_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    give_command(monkeypatch, EOFError())
    with pytest.raises(EOFError):
        cli.main(["config"])
    give_command(monkeypatch, FileNotFoundError())
    with pytest.raises(FileNotFoundError):
        cli.main(["config"])


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_keeps_the_description_and_every_line_of_the_examples(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert cli.main([name, "--help"]) == 0
    said = capsys.readouterr().out
    module = importlib.import_module(f"deploy.commands.{module_name(name)}")
    assert said.endswith(f"\n\n{module.EPILOG}")
    assert "".join(module.run.__doc__.split()) in "".join(said.split())


def test_every_setting_of_the_simulated_platform_is_an_option_with_its_default() -> None:
    options = inspect.signature(importlib.import_module("deploy.commands.simulate").run).parameters
    assert {field.name: field.default for field in fields(SimulationConfig)}.items() <= {
        name: option.default for name, option in options.items()
    }.items()


def test_error_that_tidecast_explains_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_command(monkeypatch, LogUnavailable("no broker answers at localhost:1"))
    assert cli.main(["config"]) == 2
    assert capsys.readouterr().err == "tidecast: no broker answers at localhost:1\n"


@pytest.mark.parametrize(
    "command", ["topics", "letters", "simulate --duration 1", "archive run --once --uri memory://a"]
)
def test_without_a_kafka_one_line_says_where_it_was_looked_for_and_what_to_do(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TIDECAST_KAFKA__BOOTSTRAP_SERVERS", servers)
    monkeypatch.setenv("TIDECAST_KAFKA__CONNECT_TIMEOUT_S", "0.3")
    assert cli.main(command.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"tidecast: no Kafka answers at {servers} (")
    assert "`tidecast kafka start`" in told
    assert told.count("\n") == 1
    assert told.count("KafkaTimeoutError") <= 1


def test_interrupt_is_said_in_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_command(monkeypatch, KeyboardInterrupt())
    assert cli.main(["config"]) == 130
    assert capsys.readouterr().err == "tidecast: interrupted\n"


def test_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m deploy.cli config | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    give_command(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["config"])


def test_unknown_command_is_refused_with_the_known_ones() -> None:
    done = run_cli("statsu")
    assert done.returncode == 2
    assert "invalid choice: 'statsu'" in done.stderr
    assert "status" in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("romms", "did you mean rooms?"),
        ("rooms --limitt 3", "did you mean --limit?"),
        ("letters --cuont", "did you mean --count?"),
        ("models lst", "did you mean ls?"),
        ("kafka strat", "did you mean start?"),
        ("schema chta", "did you mean chat?"),
        ("rooms extra", "unrecognized arguments: extra\n"),
        ("rooms --limit many", "argument --limit: invalid int value: 'many'\n"),
        ("rooms --limit", "Option '--limit' requires an argument.\n"),
        ("rooms --language --json", "Option '--language' requires an argument.\n"),
        ("rooms --mature yes", "argument --mature: invalid choice: 'yes' (choose from none, only, any)\n"),
        ("recommend --watch", "the following arguments are required: VIEWER\n"),
        ("topics --partitions 0", "argument --partitions: 0 is not at least 1\n"),
        ("replay x --speed 2 --fast", "argument --fast: not allowed with argument --speed\n"),
        ("replay x --speed 0", "argument --speed: 0 is not above 0\n"),
        ("replay x --from soon", "'soon' is not an ISO 8601 time such as 2025-03-04T12:50\n"),
        ("evaluate --test x", "the following arguments are required: --train\n"),
        ("evaluate --train a --test b --rankers memori", "did you mean memory?"),
        ("config --json=yes", "Option '--json' does not take a value.\n"),
        ("", "COMMAND"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_told_what_it_may_have_meant(
    line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line.split()) == 2
    told = capsys.readouterr().err
    assert says in told
    command = next((word for word in line.split() if word in cli.COMMANDS), "")
    assert told.startswith(f"usage: tidecast {command}".rstrip())
    assert f"`{f'tidecast {command}'.rstrip()} --help` explains it" in told


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_what_was_typed_is_quoted_without_control_characters_and_secrets(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--no\x1b]0;such\x07\noption", "\u202egnp.s3://K:wJalrXUtnFEMI@bucket"]
    assert cli.main([command, *typed]) == 2
    told = capsys.readouterr().err
    assert not UNSAFE.search(told)
    assert "wJalrXUtnFEMI" not in told
    assert all(line.startswith(("usage:", " ", "tidecast", "`tidecast")) for line in told.splitlines())


def test_what_an_error_quotes_begins_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_command(monkeypatch, ConfigError("there is no file a\ntidecast: all is well"))
    assert cli.main(["config"]) == 2
    assert capsys.readouterr().err == "tidecast: there is no file a\n  tidecast: all is well\n"


def test_configuration_with_control_characters_is_printed_so_that_it_loads_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "a\nb.toml"
    client = "\x1b]0;x\x07\u202e\u2028\x9b😀\x7f"
    place.write_text(f"[kafka]\nclient_id = {as_json(client)}\n")
    assert cli.main(["--config", str(place), "config"]) == 0
    printed = capsys.readouterr().out
    assert not UNSAFE.search(printed)
    assert tomllib.loads(printed)["kafka"]["client_id"] == client


def test_packages_of_this_checkout_are_not_shadowed() -> None:
    assert shadowing() is None


@pytest.mark.parametrize("name", ["streaming", "actors", "training"])
def test_package_that_hides_ours_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
    # -P: without the working folder on the path, as an installed script runs; site-packages come after PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; from deploy.cli import main; sys.exit(main())", "config"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"another package named '{name}' hides Tidecast's" in done.stderr
    assert str(package) in done.stderr
    assert f"take {tmp_path} off PYTHONPATH" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_package_is_said() -> None:
    assert "is not installed beside" in (shadowing(("streaming", "no_such_package_of_ours")) or "")
