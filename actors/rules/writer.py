"""Writes operators' rules to the log. Never obeys one: every replica does, once it has read it."""

from __future__ import annotations

import contextlib
import threading

from streaming.clock import Clock
from streaming.errors import LogUnavailable, TopicMissing
from streaming.log.codec import encode
from streaming.log.log import Log, Sink
from streaming.log.topics import RULES
from streaming.operator_rule import RuleBody, rule_of

WAIT_S = 5.0  # for the one before: while Kafka is away each takes half a minute, and callers should not queue up


class RuleWriter:
    """Writes rules one at a time, each acknowledged before it returns. Any thread may call it."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._turn = threading.Lock()
        self._sink: Sink | None = None

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
        if not self._turn.acquire(timeout=WAIT_S):
            raise LogUnavailable("another rule is waiting for Kafka")
        try:
            if self._sink is None:
                self._sink = self._log.sink()
            self._sink.send(RULES, name.encode(), value)
            self._sink.flush()
        except (LogUnavailable, TopicMissing) as err:
            sink, self._sink = self._sink, None
            if sink is not None:
                with contextlib.suppress(Exception):  # it has failed already
                    sink.close()
            raise LogUnavailable(f"the rule could not be written: {err}") from err
        finally:
            self._turn.release()
