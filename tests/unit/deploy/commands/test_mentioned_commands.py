"""Tests that every command that README and docs mention exists, with the options that they give it."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from deploy import cli
from deploy.commands.command_line import Command
from tests.documented import commands, mentioned

ROOT = Path(__file__).resolve().parents[4]
PLACEHOLDERS = {"COMMAND", "NAME"}
MENTIONED = sorted(set(mentioned()) | set(commands()))


@pytest.mark.parametrize(("page", "command"), MENTIONED, ids=[f"{page}: {command}" for page, command in MENTIONED])
def test_mentioned_command_exists(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Command, "invoke", lambda *_: 0)  # read, and not run
    alone = command.partition(" | ")[0].replace(" TOPIC", " rooms")
    words = [word for word in shlex.split(alone, comments=True) if not re.match(r"^[A-Z_0-9]+=", word)]
    if not words or PLACEHOLDERS & {part for word in words for part in word.split(".")}:
        return
    if words[0] == "tidecast":
        _parses(words[1:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, f"no module {words[2]}"
        source = Path(str(importlib.util.find_spec(words[2]).origin)).read_text()  # type: ignore[union-attr]
        for option in (word for word in words[3:] if word.startswith("--")):
            assert f'"{option}"' in source, f"{words[2]} has no {option}"
    elif words[0] == "make":
        targets = subprocess.run(["make", "-qp"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        for word in words[1:]:
            assert word.startswith("-") or "=" in word or f"\n{word}:" in targets, f"no target {word}"


def _parses(words: list[str]) -> None:
    """Completes a command as far as it goes: what a sentence leaves out (a file, a version) is given."""
    if words and words[-1] == "--help":
        words = words[:-1]
        assert not words or words[0] in cli.COMMANDS
        return
    if words[0].startswith("--"):  # it would do what it says
        assert any(words[0] in param.opts for param in cli.tidecast().params)
        return
    more = ([], ["x"], ["x", "y"], ["--train", "x", "--test", "y"], ["x", "--out", "y"])
    assert any(cli.main([*words, *rest]) == 0 for rest in more), f"tidecast does not take {words}"
