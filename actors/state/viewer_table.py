"""The profiles of recently active viewers, within a memory budget. Never decodes more than is asked for.

Of a viewer whose profile has to go, the rules stay, in a part of the budget of their own: they hold in every answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from streaming.events import ViewerId, ViewerProfile
from streaming.viewer.presence import packed_rules
from streaming.viewer.rules import NO_RULES, RulesInForce, in_force, unpacked

RULES_PART = 8  # of the budget, one part is for the rules of viewers whose profiles had to go
ENTRY_BYTES = 300  # per entry, beside key and value: two objects' headers and the dict's links, measured


class ViewerTable:
    """A map of viewers to serialised profiles. Those put or asked for least recently go first. For one thread."""

    def __init__(self, budget_bytes: int, decode: Callable[[bytes], ViewerProfile]) -> None:
        self._budget_bytes = budget_bytes
        self._decode = decode
        self._profiles: OrderedDict[ViewerId, bytes] = OrderedDict()
        self._held_bytes = 0
        self._rules: OrderedDict[ViewerId, bytes] = OrderedDict()  # packed, of viewers without a profile here
        self._rules_bytes = 0
        self.evicted = 0  # profiles dropped so far; while 0, a viewer who is not here has no profile

    def __len__(self) -> int:
        return len(self._profiles)

    @property
    def held_bytes(self) -> int:
        """Memory of the profiles in bytes, estimated."""
        return self._held_bytes

    def put(self, viewer: ViewerId, value: bytes) -> int:
        """Stores a profile; returns how many others had to go for it."""
        self.drop(viewer)
        self._profiles[viewer] = value
        self._held_bytes += _size(viewer, value)
        evicted = 0
        while self._held_bytes > self._budget_bytes and len(self._profiles) > 1:
            gone, its_value = self._profiles.popitem(last=False)
            self._held_bytes -= _size(gone, its_value)
            self._keep_rules(gone, packed_rules(its_value))
            evicted += 1
        self.evicted += evicted
        return evicted

    def _keep_rules(self, viewer: ViewerId, rules: bytes) -> None:
        """Keeps the rules of a viewer whose profile has to go. Those kept longest go first."""
        if not rules:
            return
        self._rules[viewer] = rules
        self._rules_bytes += _size(viewer, rules)
        while self._rules_bytes > self._budget_bytes // RULES_PART:
            self._rules_bytes -= _size(*self._rules.popitem(last=False))

    def rules(self, viewer: ViewerId) -> RulesInForce:
        """The rules of a viewer whose profile had to go; none of any other."""
        rules = self._rules.get(viewer)
        return NO_RULES if rules is None else in_force(unpacked(rules))

    def may_miss(self, viewer: ViewerId) -> bool:
        """Whether a viewer who is not here may have a profile all the same. From any thread, without the lock."""
        return self.evicted > 0 and viewer not in self._profiles

    def drop(self, viewer: ViewerId) -> None:
        """Forgets a viewer, if known."""
        value = self._profiles.pop(viewer, None)
        if value is not None:
            self._held_bytes -= _size(viewer, value)
        rules = self._rules.pop(viewer, None)
        if rules is not None:
            self._rules_bytes -= _size(viewer, rules)

    def clear(self) -> None:
        """Forgets all; none of them may be missed."""
        self._profiles.clear()
        self._rules.clear()
        self._held_bytes = self._rules_bytes = self.evicted = 0

    def latest(self, count: int) -> list[ViewerId]:
        """Viewers whose profiles are here, those put or asked for latest first."""
        return list(islice(reversed(self._profiles), count))

    def raw(self, viewer: ViewerId) -> bytes | None:
        """The profile's bytes: the same object until the profile changes, so its identity is its version."""
        value = self._profiles.get(viewer)
        if value is not None:
            self._profiles.move_to_end(viewer)
        return value

    def decode(self, value: bytes) -> ViewerProfile:
        """Decodes a profile. Raises RecordError."""
        return self._decode(value)


def _size(viewer: ViewerId, value: bytes) -> int:
    return len(viewer) + len(value) + ENTRY_BYTES
