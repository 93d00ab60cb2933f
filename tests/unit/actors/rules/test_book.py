"""Tests of which operators' rules are in force when, and of the bounds of a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from actors.rules.book import OperatorRules
from actors.settings import RulesConfig
from streaming.errors import ConfigError, MalformedRecord, RecordError, UnknownVersion
from streaming.events import MIN_AT_MS
from streaming.log.codec import encode
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import RULES
from streaming.operator_rule import MAX_RULES, MAX_VALUES, OperatorRule, RuleBody, rule_of

NOW_MS = 1_800_000_000_000


def rule(name: str = "r", **changes: Any) -> OperatorRule:
    return OperatorRule(**({"name": name, "action": "hide", "rooms": ("a",), "at_ms": NOW_MS} | changes))


def record(key: str | None, value: bytes | None) -> MemoryRecord:
    return MemoryRecord(RULES, 0, 0, NOW_MS, None if key is None else key.encode(), value)


class Seen:
    """Remembers the names of the rules in force, each time they change."""

    def __init__(self) -> None:
        self.times: list[list[str]] = []

    def __call__(self, in_force: Mapping[str, OperatorRule]) -> None:
        self.times.append(sorted(in_force))


def book(*put: OperatorRule, configured: Mapping[str, OperatorRule] | None = None) -> tuple[OperatorRules, Seen]:
    seen = Seen()
    rules = OperatorRules(configured or {}, seen)
    for one in put:
        rules.read(record(one.name, encode(one)))
    rules.turn(NOW_MS)
    return rules, seen


def test_a_rule_starts_and_ends_by_itself() -> None:
    rules, seen = book(rule(starts_at_ms=NOW_MS + 10, ends_at_ms=NOW_MS + 20), rule("always"))
    for after_ms in range(0, 30, 5):
        rules.turn(NOW_MS + after_ms)
    assert seen.times == [["always"], ["always", "r"], ["always"]]
    rules.turn(NOW_MS + 15)  # the clock is put back
    assert seen.times[-1] == ["always", "r"]
    assert len(rules) == 2


def test_nothing_is_computed_while_nothing_starts_or_ends() -> None:
    rules, seen = book(rule())
    for after_ms in range(1_000):
        rules.turn(NOW_MS + after_ms)
    assert len(seen.times) == 1


def test_a_rule_that_is_switched_off_does_nothing_and_is_known() -> None:
    rules, seen = book(rule(enabled=False))
    assert seen.times == []
    assert [one.rule.name for one in rules.all()] == ["r"]
    assert not rules.is_in_force("r")


def test_what_is_put_counts_before_the_configuration_and_its_end_restores_that() -> None:
    configured = {"r": rule(rooms=("configured",)), "other": rule("other")}
    rules, _ = book(rule(rooms=("put",)), configured=configured)
    known = rules.get("r")
    assert known is not None
    assert (known.rule.rooms, known.origin, known.hides) == (("put",), "put", True)
    assert len(rules) == 2
    rules.read(record("r", None))
    known = rules.get("r")
    assert known is not None
    assert (known.rule.rooms, known.origin, known.hides) == (("configured",), "configuration", False)
    rules.read(record("nobody", None))
    assert rules.get("nobody") is None


def test_a_put_rule_that_has_ended_switches_a_configured_one_off() -> None:
    _, seen = book(rule(ends_at_ms=NOW_MS - 1), configured={"r": rule()})
    assert seen.times == []


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("r", b"rubbish", MalformedRecord),
        ("r", encode(rule("other")), MalformedRecord),
        (None, encode(rule()), MalformedRecord),
        ("r", encode(msgspec.structs.replace(rule(), v=9)), UnknownVersion),
        ("r", msgspec.msgpack.encode([1, "r", "hide", NOW_MS]), MalformedRecord),  # about no room
    ],
    ids=["rubbish", "other key", "no key", "unknown version", "no room"],
)
def test_a_record_that_is_no_rule_is_refused_and_leaves_the_one_before(
    key: str | None, value: bytes, error: type[RecordError]
) -> None:
    rules, _ = book(rule())
    with pytest.raises(error):
        rules.read(record(key, value))
    assert rules.get("r") is not None


def test_of_too_many_rules_all_replicas_obey_the_same_ones() -> None:
    rules = [rule(f"r{number:04}") for number in range(MAX_RULES + 5)]
    one, seen = book(*rules)
    other, seen_by_other = book(*reversed(rules))
    assert seen.times == seen_by_other.times == [[f"r{number:04}" for number in range(MAX_RULES)]]
    assert len(one) == len(other) == MAX_RULES + 5


@pytest.mark.parametrize(
    "changes",
    [
        {"rooms": []},
        {"rooms": ["a"] * 150, "streamers": ["b"] * 51},
        {"rooms": ["a"] * (MAX_VALUES + 1)},
        {"starts_at_ms": NOW_MS, "ends_at_ms": NOW_MS},
        {"weight": 0},
        {"weight": 21},
        {"position": 0},
        {"position": 101},
        {"most": 0},
        {"action": "lift"},
        {"reason": "x" * 201},
        {"rooms": [""]},
        {"categories": [""]},
        {"until": NOW_MS},
        {"starts_at_ms": 1},
    ],
    ids=lambda changes: " ".join(f"{name} {str(value)[:12]}" for name, value in changes.items()),
)
def test_a_rule_out_of_its_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"action": "hide", "rooms": ["a"]} | changes, RuleBody)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"goals": {}}, "needs goals"),
        ({"goals": {"stay": 1}, "languages": ["en"]}, "about all lists, and not about rooms"),
        ({"goals": {"stay": 101}}, "<= 100"),
        ({"goals": {"stay": -1}}, ">= 0"),
        ({"goals": {f"g{number}": 1 for number in range(17)}}, "length <= 16"),
        ({"action": "pin", "goals": {"stay": 1}, "rooms": ["a"]}, "goals are of the action goals alone"),
    ],
    ids=["none", "rooms", "large", "below 0", "many", "other action"],
)
def test_a_rule_of_goals_has_weights_and_no_rooms(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"action": "goals"} | changes, RuleBody)


@pytest.mark.parametrize("name", ["", "a b", "ü", "-a", ".a", "x" * 65, "a/b"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        rule_of(name, RuleBody(action="hide", rooms=("a",)), NOW_MS)


def test_the_configuration_has_rules_by_name_and_names_the_one_that_is_wrong() -> None:
    config = RulesConfig({"finals": {"action": "pin", "streamers": ["ana"], "position": 2}})
    assert config.rules() == {
        "finals": OperatorRule(name="finals", action="pin", streamers=("ana",), position=2, at_ms=MIN_AT_MS)
    }
    with pytest.raises(ConfigError, match=r"rules.named.finals: .*`until`"):
        RulesConfig({"finals": {"action": "pin", "streamers": ["ana"], "until": 3}})
    with pytest.raises(ConfigError, match=r"rules.named.evening.goals: unknown weight 'applause'; there are enter,"):
        RulesConfig({"evening": {"action": "goals", "goals": {"applause": 1}}})
    with pytest.raises(ConfigError, match=r"rules.named.evening.goals: one of enter, stay"):
        RulesConfig({"evening": {"action": "goals", "goals": {"enter": 0}}})
    assert RulesConfig({"evening": {"action": "goals", "goals": {"stay": 1}}}).rules()["evening"].goals == {"stay": 1}
    with pytest.raises(ConfigError, match="at most 1000"):
        RulesConfig({f"r{number}": {"action": "hide", "rooms": ["a"]} for number in range(MAX_RULES + 1)})
