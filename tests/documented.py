"""Tests of what README and docs tell a reader to type: the lines and blocks of their code fences. Never runs one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
COMMAND = re.compile(r"^(?:[A-Z][A-Z_0-9]*=\S+ )*(?:(?:tidecast|make|python|curl|pip|export|git)(?: |$)|\. )")
INLINE = re.compile(r"`((?:[A-Z][A-Z_0-9]*=\S+ )*(?:tidecast|python -m|make|pip) [^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A code fence: on which page, from which line on, of which language ("" where it says none)."""

    page: str
    line: int
    language: str
    text: str


def blocks() -> list[Block]:
    """Every code fence of README, CONTRIBUTING and docs, in order."""
    found = []
    for page in PAGES:
        language, start, lines = "", 0, None
        for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
            if line.startswith("```"):
                if lines is None:
                    language, start, lines = line[3:].strip(), number + 1, []
                else:
                    found.append(Block(page, start, language, "\n".join(lines)))
                    lines = None
            elif lines is not None:
                lines.append(line)
    return found


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line in a fence without a language that is a command; what explains it is cut off."""
    found = []
    for block in blocks():
        if block.language:
            continue
        for line in block.text.splitlines():
            typed = line.removeprefix("$ ")
            if COMMAND.match(typed):
                found.append((block.page, re.split(r"\s{2,}", typed)[0].split(" # ")[0].strip()))
    return found


def mentioned() -> list[tuple[str, str]]:
    """(page, command) of every command that stands between backticks in a sentence."""
    return [
        (page, match[1])
        for page in PAGES
        for match in INLINE.finditer(re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.S))
    ]
