"""Every operator's rule that a replica knows, and which are in force at a time. Never looks at a room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from streaming.errors import MalformedRecord
from streaming.log.codec import Decoder
from streaming.log.log import Record
from streaming.log.topics import RULES
from streaming.operator_rule import MAX_RULES, OperatorRule

NEVER_MS = 1 << 62

Origin = Literal["configuration", "put"]


@dataclass(frozen=True, slots=True)
class KnownRule:
    """A rule and where it comes from. hides: whether the configuration has another one of this name."""

    rule: OperatorRule
    origin: Origin
    hides: bool = False


class OperatorRules:
    """The rules of the configuration and of the log, by name. The caller holds the tables' lock.

    Of a name in both the log's counts: an operator has put it since, and to delete it brings the other one back.
    """

    def __init__(
        self, configured: Mapping[str, OperatorRule], apply: Callable[[Mapping[str, OperatorRule]], None]
    ) -> None:
        """apply: called with the rules in force, by name, whenever these are others. Some of them are switched off:
        those that variants switch on for their viewers (`offer`).
        """
        self._configured = dict(configured)
        self._put: dict[str, OperatorRule] = {}
        self._decode = Decoder(RULES)
        self._apply = apply
        self._changed = bool(configured)
        self._turned_ms = 0
        self._next_ms = NEVER_MS  # when the next rule starts or ends
        self._in_time: dict[str, OperatorRule] = {}
        self._in_force: dict[str, OperatorRule] = {}
        self._offered: frozenset[str] = frozenset()
        self.turns = 0  # number of times that rules were others, started or ended

    def __len__(self) -> int:
        """Number of rules, in force or not."""
        return len(self._configured.keys() | self._put.keys())

    def read(self, record: Record) -> None:
        """Takes a rule of the log, in the place of one of its name, or the end of one.

        Raises RecordError: it is none, and the one before it stays.
        """
        if record.key is None:
            raise MalformedRecord("rules: a record without a key, which is the name of its rule")
        name = record.key.decode("utf-8", "replace")
        if record.value is None:
            self._changed |= self._put.pop(name, None) is not None
            return
        rule: OperatorRule = self._decode(record.value)
        if rule.name != name:
            raise MalformedRecord(f"rules: the key is {name[:80]!r}, and the rule's name {rule.name!r}")
        self._put[name] = rule
        self._changed = True

    def clear(self) -> None:
        """Forgets all that the log said."""
        self._put.clear()
        self._changed = True

    def offer(self, names: Iterable[str]) -> None:
        """Has `apply` get the rules of these names also while they are switched off, from the next turn on."""
        self._offered = frozenset(names)
        self._changed = True

    def turn(self, now_ms: int) -> None:
        """Puts in force what is in force now. Costs two comparisons where nothing starts, ends or was put."""
        if not self._changed and self._turned_ms <= now_ms < self._next_ms:  # a clock may be put back
            return
        # by name, so that all replicas leave out the same ones where more than MAX_RULES were written
        known = [self._known(name).rule for name in self._names()[:MAX_RULES]]
        self._in_time = {rule.name: rule for rule in known if rule.in_time(now_ms)}
        in_force = {name: rule for name, rule in self._in_time.items() if rule.enabled or self._is_offered(rule)}
        turns = [at_ms for rule in known for at_ms in (rule.starts_at_ms, rule.ends_at_ms)]
        self._next_ms = min((at_ms for at_ms in turns if at_ms is not None and at_ms > now_ms), default=NEVER_MS)
        self._turned_ms, self._changed = now_ms, False
        self.turns += 1
        if in_force != self._in_force:
            self._in_force = in_force
            self._apply(in_force)

    def all(self) -> Iterator[KnownRule]:
        """Every rule, by name."""
        return map(self._known, self._names())

    def get(self, name: str) -> KnownRule | None:
        """The rule of a name; None where there is none."""
        return self._known(name) if name in self._put or name in self._configured else None

    def is_in_force(self, name: str) -> bool:
        """Whether a rule is in force for every viewer since the last turn."""
        return name in self._in_force and self._in_force[name].enabled

    def not_switchable(self, name: str) -> str:
        """Why a variant cannot switch a rule on or off now, as a text for people; "" where it can."""
        known = self.get(name)
        if known is None:
            return f"there is no rule {name!r}"
        if known.rule.action == "hide":
            return f"the rule {name!r} hides rooms, which it does for all viewers or for none"
        return "" if name in self._in_time else f"the rule {name!r} has not started, or is over"

    def _is_offered(self, rule: OperatorRule) -> bool:
        return rule.name in self._offered and not self.not_switchable(rule.name)

    def _names(self) -> list[str]:
        return sorted(self._configured.keys() | self._put.keys())

    def _known(self, name: str) -> KnownRule:
        rule = self._put.get(name)
        if rule is None:
            return KnownRule(self._configured[name], "configuration")
        return KnownRule(rule, "put", hides=name in self._configured)
