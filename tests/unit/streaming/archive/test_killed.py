"""Tests that a process killed between any two steps loses nothing and doubles nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.archive.file import hour_of
from streaming.archive.reader import Archive
from streaming.archive.store import Store
from streaming.archive.upkeep import compact
from streaming.log.topics import HOUR_MS
from tests.unit.streaming.archive.world import NUMBERS, World, archived


class Killed(Exception):
    """The process dies here."""


class Mortal:
    """A store whose process dies before or after one of its changes."""

    def __init__(self, store: Store, lives: int) -> None:
        self.uri = store.uri
        self.list, self.open, self.prepare = store.list, store.open, store.prepare
        self._store = store
        self._lives = lives

    def put(self, path: str, data: Any, *, replace: bool = False) -> bool:
        return bool(self._mortal(lambda: self._store.put(path, data, replace=replace)))

    def delete(self, path: str) -> None:
        self._mortal(lambda: self._store.delete(path))

    def _mortal(self, change: Callable[[], Any]) -> Any:
        self._lives -= 2
        if self._lives < 0:
            raise Killed
        done = change()
        if self._lives == 0:
            raise Killed
        return done


Act = tuple[str, int]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 40)),
        st.tuples(st.just("pass"), st.sampled_from([1, 20, 45, 70])),
        st.tuples(st.just("run"), st.integers(0, 12)),
        st.tuples(st.just("upkeep"), st.integers(0, 12)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(acts=ACTS, rows=st.sampled_from([1, 3, 1_000]))
def test_killed_between_any_two_steps_each_record_is_there_once(acts: list[Act], rows: int) -> None:
    world = World(f"memory://{next(NUMBERS)}", flush_rows=rows, keep_hours=0)
    for number in range(4):  # two hours with small files in both
        world.say(3)
        world.run()
        world.clock.advance(50 * 60_000 * (number % 2))
    world.clock.advance(HOUR_MS)
    before = archived(world.archive())
    for act, number in acts:
        if act == "say":
            world.say(number, number % 2)
        elif act == "pass":
            world.clock.advance(number * 60_000)
        else:
            mortal = Mortal(world.store, number + 1)
            archive = Archive(mortal)
            try:
                if act == "run":
                    world.run(mortal)
                else:
                    list(compact(archive, world.config, world.clock.now_ms(), world.metrics))
            except Killed:
                pass
        found, there = archived(world.archive()), world.on_the_log()
        assert act != "upkeep" or found == before, "upkeep changes nothing that a reader sees"
        before = found
        for partition in (0, 1):  # without a gap, up to where it has come
            mine = [row for row in found if row[0] == partition]
            assert mine == [row for row in there if row[0] == partition][: len(mine)]
    world.run()
    world.clock.advance(2 * HOUR_MS)
    world.upkeep()
    assert archived(world.archive()) == world.on_the_log()
    assert all(file.hour == hour_of(file.from_ms) for file in world.archive().files())
