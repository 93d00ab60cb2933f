"""The command `tidecast rules`: rules are put, listed with what they do now, and deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from actors.answers.known_rules import KnownRules
from deploy import cli
from deploy.http.api import Api
from deploy.http.routes.rules import rule_routes
from streaming.metrics import MemoryMetrics
from tests.served_api import served
from tests.unit.actors.replica import Replica
from tests.unit.deploy.http.test_rules import FakeLog
from training.experiments import Experiment, Variant


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    """A replica with three rooms, which the command reaches."""
    replica = Replica()
    replica.clock.advance(time.time_ns() // 1_000_000 - replica.clock.now_ms())
    for room, language in (("a", "ja"), ("b", "en"), ("c", "ja-JP")):
        replica.room(room, language=language)
    table = rule_routes(KnownRules(replica.recommender), FakeLog(replica))
    with served(Api(table, 100_000, MemoryMetrics())) as port:
        monkeypatch.setenv("TIDECAST_HTTP__PORT", str(port))
        yield replica


def test_a_rule_is_put_listed_and_deleted(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    put = "rules put quiet --action bury --language ja --for 7200"
    assert cli.main(put.split()) == 0
    assert "quiet is in force" in capsys.readouterr().out
    assert replica.shown("v")[0] == "b"
    assert cli.main(["rules"]) == 0
    (head, row) = capsys.readouterr().out.strip().splitlines()
    assert head.split() == ["rule", "does", "of", "rooms", "now", "state"]
    assert row.split()[:6] == ["quiet", "bury", "1", "languages", "ja", "2"]
    assert "in force until" in row
    assert cli.main(["rules", "--json"]) == 0
    (rule,) = json.loads(capsys.readouterr().out)["rules"]
    assert (rule["name"], rule["live_rooms"], rule["in_force"]) == ("quiet", 2, True)
    assert cli.main(["rules", "delete", "quiet"]) == 0
    assert "quiet ends" in capsys.readouterr().out
    assert cli.main(["rules"]) == 0
    assert "no rules" in capsys.readouterr().out


def test_what_a_rule_does_and_its_state_are_said(replica: Replica, capsys: pytest.CaptureFixture[str]) -> None:
    pin = "rules put p --action pin --room a --room b --position 2 --most 2"
    assert cli.main(pin.split()) == 0
    hide = "rules put h --action hide --room c --for 1"
    assert cli.main(hide.split()) == 0
    replica.clock.advance(2_000)
    capsys.readouterr()
    assert cli.main(["rules"]) == 0
    said = capsys.readouterr().out
    assert "pin 2-3" in said
    assert "rooms a, b" in said


def test_a_rule_is_put_switched_off_and_the_experiment_that_tries_it_is_said(
    replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Experiment(name="trial", variants=(Variant(name="a"), Variant(name="b", rules_on=("launch",))))
    replica.recommender.experiments = (trial,)
    put = "rules put launch --action boost --category Chess --weight 2 --off"
    assert cli.main(put.split()) == 0
    assert "launch is known, and switched off," in capsys.readouterr().out
    assert cli.main(["rules"]) == 0
    (_, row) = capsys.readouterr().out.strip().splitlines()
    assert row.rstrip().endswith("switched off, tried in trial")


def test_a_rule_of_goals_is_put_and_listed_as_of_all_lists(
    replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rules", "put", "evening", "--action", "goals", "--goal", "enter=1", "--goal", "stay=4"]) == 0
    assert replica.tables.rules.get("evening").rule.goals == {"enter": 1, "stay": 4}  # type: ignore[union-attr]
    capsys.readouterr()
    assert cli.main(["rules"]) == 0
    (_, row) = capsys.readouterr().out.strip().splitlines()
    assert row.split() == ["evening", "goals", "all", "lists:", "enter", "1,", "stay", "4", "-", "in", "force"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("rules put", "which rule?"),
        ("rules put r --action bury", "at least one of rooms"),
        ("rules put r --room a", "action"),
        ("rules put r --action bury --room a --weight 50", "weight"),
        ("rules put a%20b --action bury --room a", "no name of a rule"),
        ("rules put r --action goals", "needs goals"),
        ("rules put r --action goals --goal stay", "is no outcome and its worth"),
        ("rules put r --action goals --goal applause=1", "applause"),
        ("rules delete", "which rule?"),
    ],
)
@pytest.mark.usefixtures("replica")
def test_what_cannot_be_a_rule_is_said(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command.split()) == 2
    assert said in capsys.readouterr().err
