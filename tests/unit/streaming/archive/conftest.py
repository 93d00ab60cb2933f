"""The places where an archive of a test may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.streaming.archive.world import World


@pytest.fixture(params=["folder", "file", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    places = {
        "folder": str(tmp_path / "archive"),
        "file": f"file://{tmp_path}/archive",
        "memory": f"memory://{tmp_path.name}",
    }
    return World(places[request.param])


@pytest.fixture
def folder(tmp_path: Path) -> World:
    return World(str(tmp_path))
