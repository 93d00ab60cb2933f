"""Tests of completion: what a shell is told, by the protocol that its script speaks. Never starts a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[3]
SHELLS = ("bash", "zsh", "fish")


def asked(shell: str, line: str) -> dict[str, str]:
    """What the script of a shell sets where the cursor stands behind `line`."""
    words = line.split()
    return {
        "_TIDECAST_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) if line.endswith(" ") else len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }


def completed(shell: str, line: str) -> str:
    """What a shell is told by a process of its own."""
    code = "import sys; from deploy.cli import main; main(); sys.exit(9)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **asked(shell, line)},
    )
    return done.stdout


def words_of(shell: str, told: str) -> list[str]:
    """The words alone, without what zsh and fish show beside them."""
    said = told.splitlines()
    if shell == "zsh":
        return [one.removeprefix("_arguments '*: :((").split('"')[1] for one in said if '"' in one]
    return [one.split("\t")[0] for one in said if one]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_complete_and_what_they_do_stands_beside_them(shell: str) -> None:
    told = completed(shell, "tidecast ")
    assert words_of(shell, told) == list(COMMANDS)
    longest = max(COMMANDS, key=lambda name: len(COMMANDS[name]))
    assert (COMMANDS[longest] in told.replace(r"\\:", ":")) == (shell != "bash"), "a second line would be another word"
    assert words_of(shell, completed(shell, "tidecast rooms --l")) == ["--limit", "--language"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tidecast --config x.toml -v re", ["recommend", "replay", "report"]),
        ("tidecast archive ls --ke", ["--keep-hours"]),
        ("tidecast models show v1 --ver", ["--verbose"]),
        ("tidecast --ver", ["--verbose", "--version"]),
        ("tidecast rooms --mature ", ["none", "only", "any"]),
        ("tidecast models r", ["rollback", "retire"]),
        ("tidecast schema cha", ["chat"]),
        ("tidecast evaluate --rankers pop", ["popularity"]),
        ("tidecast nonsense --l", []),
    ],
)
def test_options_actions_and_choices_complete(
    shell: str, line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**asked(shell, line), "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 0
    assert words_of(shell, capsys.readouterr().out) == expected


def test_completion_imports_the_command_that_is_being_typed_and_no_other() -> None:
    code = """
import sys, deploy.cli
try: deploy.cli.main()
except SystemExit: pass
print([name for name in (*deploy.cli.COMMANDS, "numpy", "kafka", "pydantic")
       if name in sys.modules or f"deploy.commands.{name}" in sys.modules], file=sys.stderr)
"""
    environ = {"_TIDECAST_COMPLETE": "complete_bash", "COMP_CWORD": "2", "COMP_WORDS": "tidecast rooms --li"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environ},
    )
    assert done.stdout == "--limit\n"
    assert done.stderr == "['rooms']\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_installing_writes_the_script_of_the_shell_that_asks(shell: str, tmp_path: Path) -> None:
    """Which shell asks is what the process was started from; here, what the library's own tests say instead."""
    environ = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for option in ("--install-completion", "--show-completion"):
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", option, shell],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=ROOT,
            env=environ,
        )
    scripts = [path for path in tmp_path.rglob("*tidecast*") if path.is_file()]
    assert [path.read_text().strip() for path in scripts] == [done.stdout.strip()]
    assert "_TIDECAST_COMPLETE" in done.stdout
