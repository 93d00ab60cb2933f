"""Tests of deploy.console.rules.rule_rows: rules as rows of the panel."""

from __future__ import annotations

from deploy.console.rules.rule_rows import LISTED, heading, rule_rows
from tests.unit.deploy.console.console_world import AT_MS, rule


def test_rules_in_force_come_first_and_each_says_what_it_does_to_what() -> None:
    rules = [
        rule("a", in_force=False, enabled=False),
        rule("b", action="pin", rooms=[], streamers=["ana"], position=2, most=2),
        rule("c", action="hide", live_rooms=0),
        rule("d", in_force=False, origin="configuration", starts_at_ms=AT_MS + 1),
        rule("e", in_force=False),
    ]
    rows = rule_rows(rules, AT_MS)
    assert [row["id"] for row in rows] == ["b", "c", "a", "d", "e"]
    assert [(row["does"], row["of"], row["rooms"]) for row in rows[:2]] == [
        ("pin 2-3", "streamers ana", "1 room now"),
        ("hide", "rooms r1", "0 rooms now"),
    ]
    assert [row["tone"] for row in rows] == ["good", "warn", "", "", ""], "one that is about nothing is misspelt"
    assert [row["state"] for row in rows[2:]] == ["switched off", "begins later, configured", "over"]
    assert [row["deletable"] for row in rows] == [True, True, True, False, True]


def test_goals_in_force_are_about_all_lists_and_no_room_is_missed() -> None:
    (row,) = rule_rows([rule("g", action="goals", rooms=[], goals={"stay": 2.5}, live_rooms=0)], AT_MS)
    assert (row["does"], row["of"], row["rooms"], row["tone"]) == ("goals", "all lists: stay 2.5", "", "good")


def test_of_many_rules_some_are_listed_and_all_are_counted() -> None:
    many = [rule(f"r{number}", in_force=number < 3) for number in range(LISTED + 5)]
    assert len(rule_rows(many, AT_MS)) == LISTED
    assert heading(many) == f"3 of {LISTED + 5} in force; {LISTED} are listed, `tidecast rules` lists all"
    assert heading([]) == "none yet"


def test_what_a_rule_is_about_is_hostile_text() -> None:
    (row,) = rule_rows([rule("r", rooms=["a\u202eb\n" + "x" * 900], reason="\x1b[31mred")], AT_MS)
    assert not {"\u202e", "\n", "\x1b"} & set(row["of"] + row["reason"])
    assert len(row["of"]) <= 200
