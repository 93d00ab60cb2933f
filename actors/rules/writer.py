"""Writes operators' rules to the log. Never obeys one: every replica does, once it has read it."""

from __future__ import annotations

from actors.intake.write_turns import WriteTurns
from streaming.clock import Clock
from streaming.log.codec import encode
from streaming.log.log import Log
from streaming.log.topics import RULES
from streaming.operator_rule import RuleBody, rule_of


class RuleWriter:
    """Writes rules one at a time, each acknowledged before it returns. Any thread may call it."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._clock = clock
        self._turns = WriteTurns(log, "rule")

    def put(self, name: str, body: RuleBody) -> int:
        """Writes a rule under a name, in the place of one of this name; returns the time once the log has it. Blocks.

        Raises LogUnavailable: it may have been written all the same.
        """
        rule = rule_of(name, body, self._clock.now_ms())
        self._write(name, encode(rule))
        return rule.at_ms

    def delete(self, name: str) -> int:
        """Writes that there is no rule of a name; returns the time once the log has it. Blocks.

        To do it twice does no harm. Raises LogUnavailable: it may have been written all the same.
        """
        at_ms = self._clock.now_ms()
        self._write(name, None)
        return at_ms

    def _write(self, name: str, value: bytes | None) -> None:
        with self._turns.turn() as sink:
            sink.send(RULES, name.encode(), value)
