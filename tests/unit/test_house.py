"""Tests of the house rules that no linter knows: first lines, lengths, and no trace of one machine."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streaming", "actors", "training", "deploy", "tidecast_client")
MAX_LINES = 500  # past this, pytest's summary asks for the second noun
OF_ONE_MACHINE = re.compile(r"(?<![\w./])/(?:work|home|root|Users)/\w")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_on_its_first_line_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines, "an empty file has no noun"
    assert lines[0].startswith('"""'), "the first line says what the file is, and what it never does"
    if len(lines) > MAX_LINES:
        warnings.warn(f"{path.relative_to(ROOT)} is long: {len(lines)} lines; is there a second noun?", stacklevel=1)


def test_a_folder_holds_sixteen_files_at_most() -> None:
    """So that a stranger sees what is in it. Commands are as many as they are."""
    folders = {path.parent for top in PACKAGES for path in (ROOT / top).rglob("*.py")}
    sizes = {str(folder.relative_to(ROOT)): len([*folder.glob("[!_]*.py")]) for folder in folders}
    sizes.pop("deploy/commands")
    assert not {folder: size for folder, size in sizes.items() if size > 16}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    own = Path(__file__).resolve()
    texts = [path for path in tracked() if path != own and path.suffix in {".py", ".md", ".toml", ".lock", ".txt", ""}]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts
        for match in OF_ONE_MACHINE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_pins_versions_with_hashes_and_names_no_place(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    pins = [line for line in lines if not line.startswith(" ")]
    assert len(pins) > 100
    assert all(re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.!+-]+( ; [^/\\]+)? \\", pin) for pin in pins)
    hashes = [line for line in lines if line.startswith(" ")]
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
    assert sum(not line.endswith("\\") for line in hashes) == len(pins), "each package's list of hashes ends"


def test_what_runs_has_the_same_versions_as_what_is_tested() -> None:
    run, dev = (
        dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert run.items() <= dev.items()
    assert {"pytest", "mypy", "lightgbm"} <= dev.keys() - run.keys()


OURS = re.compile(r"^\s*from ((?:streaming|actors|training|deploy|tests)[\w.]*) import (.*\b_[a-z]\w*)", re.MULTILINE)


def test_no_module_imports_what_another_keeps_to_itself() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0].strip()}"
        for path in (*modules(), *sorted((ROOT / "tests").rglob("*.py")))
        for match in OURS.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
