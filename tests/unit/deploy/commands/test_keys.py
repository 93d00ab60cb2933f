"""The command `tidecast keys`: a key is shown once, found by replicas, listed without itself, and taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import cli
from deploy.http.keys import KeyRing, read_entries


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def created(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert cli.main(["keys", "create", *options, "--file", "keys.toml"]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_once_and_is_what_replicas_find(capsys: pytest.CaptureFixture[str]) -> None:
    key = created(capsys, "shop")
    found = KeyRing(Path("keys.toml")).find(key)
    assert found is not None
    assert (found.name, found.scopes, found.requests_per_s) == ("shop", {"recommend"}, 0.0)
    other = created(capsys, "ops", "--scopes", "recommend, admin", "--requests-per-s", "2.5")
    ring = KeyRing(Path("keys.toml"))
    ops = ring.find(other)
    assert ops is not None
    assert (ops.scopes, ops.requests_per_s) == ({"recommend", "admin"}, 2.5)
    assert ring.find(key) is not None, "another key leaves it alone"
    assert cli.main(["keys", "list", "--file", "keys.toml"]) == 0
    said = capsys.readouterr().out
    assert "shop" in said
    assert "2.5 requests/s" in said
    assert key not in said + Path("keys.toml").read_text()


def test_a_key_that_is_taken_back_is_gone_and_the_others_stay(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = created(capsys, "a"), created(capsys, "b")
    assert cli.main(["keys", "revoke", "a", "--file", "keys.toml"]) == 0
    ring = KeyRing(Path("keys.toml"))
    assert (ring.find(first), ring.find(second) is not None) == (None, True)
    assert cli.main(["keys", "revoke", "b", "--file", "keys.toml"]) == 0
    assert "no key is left" in capsys.readouterr().err
    assert read_entries(Path("keys.toml")) == {}


def test_scripts_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    made = json.loads(created(capsys, "shop", "--scopes", "ingest", "--json"))
    assert KeyRing(Path("keys.toml")).find(made["key"]) is not None
    assert cli.main(["keys", "list", "--file", "keys.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shop": {"scopes": ["ingest"], "requests_per_s": 0.0}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "shop"], "http.keys_file"),
        (["create", "--file", "keys.toml"], "whose key"),
        (["create", "../x", "--file", "keys.toml"], "no name"),
        (["create", "x", "--scopes", "all", "--file", "keys.toml"], "recommend, ingest, admin"),
        (["create", "x", "--scopes", ",", "--file", "keys.toml"], "recommend, ingest, admin"),
        (["create", "there", "--file", "keys.toml"], "has a key already"),
        (["revoke", "nobody", "--file", "keys.toml"], "has no key"),
        (["list", "--file", "missing.toml"], "cannot be read"),
        (["create", "x", "--file", "broken.toml"], "not TOML"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    created(capsys, "there")
    Path("broken.toml").write_text("[[[")
    before = Path("keys.toml").read_text()
    assert cli.main(["keys", *words]) == 2
    got = capsys.readouterr()
    assert said in got.err
    assert got.out == ""
    assert Path("keys.toml").read_text() == before
