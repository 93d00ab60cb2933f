"""The maps of a worker's partitions: it makes them, and divides memory and disk among them. Never reads a profile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actors.profiles.profile_map import ProfileMap
from actors.profiles.store_folder import StoreFolder
from actors.settings import ProfileWorkerConfig
from streaming.clock import Clock
from streaming.errors import StoreDamaged
from streaming.log.log import Partition
from streaming.log.partitioner import partition_of
from streaming.log.restore import Restored
from streaming.metrics import Metrics

SWEEP_MS = 3_600_000


class MapMaker:
    """Makes maps within a worker's bounds. For the worker's thread."""

    def __init__(self, config: ProfileWorkerConfig, metrics: Metrics, clock: Clock, folder: Path | None) -> None:
        """folder: for files; None: there are none."""
        self.partitions = 0  # among which keys are divided
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._stores = StoreFolder(folder, metrics, clock) if folder is not None and config.disk_mb else None
        self._swept_ms = 0
        self.share(1)

    def make(self, there: Partition, made: int) -> Restored[ProfileMap]:
        """A map for a partition, with the file that a process before has left, if there is one that can be used.

        made: the making of the topic.
        """
        partitions = self.partitions
        profiles = ProfileMap(
            there.index,
            self._metrics,
            self._clock,
            folder=self._stores,
            made=made,
            partitions=partitions,
            budget_bytes=self._budget_bytes,
            accepts=lambda key: partition_of(key, partitions) == there.index,
        )
        return Restored(profiles, profiles.reuse(), made)

    def in_memory(self, index: int) -> Restored[ProfileMap]:
        """A map for a partition that has no viewers of its own."""
        return Restored(ProfileMap(index, self._metrics, self._clock))

    def share(self, partitions: int, maps: Sequence[ProfileMap] = ()) -> None:
        """Divides memory and disk among so many partitions. maps: those that there are already."""
        self._budget_bytes = (self._config.memory_mb << 20) // max(1, partitions)
        for profiles in maps:
            profiles.budget_bytes = self._budget_bytes
        if self._stores is not None:
            self._stores.bytes_per_store = (self._config.disk_mb << 20) // max(1, partitions)

    def count_damage(self, err: StoreDamaged) -> None:
        """Counts a file that has to be thrown away."""
        if self._stores is not None:
            self._stores.count_damage(err)

    def measure(self, maps: Sequence[ProfileMap]) -> int:
        """Sets the gauges, and sweeps the folder now and then; returns the number of profiles."""
        profiles = sum(map(len, maps))
        self._metrics.gauge("profiles_held", profiles, reader="profile-workers")
        self._metrics.gauge("profiles_hot", sum(one.hot for one in maps))
        self._metrics.gauge("profile_memory_bytes", sum(one.hot_bytes for one in maps))
        self._metrics.gauge("profile_store_bytes", sum(one.store_bytes for one in maps))
        now_ms = self._clock.now_ms()
        if self._stores is not None and now_ms - self._swept_ms > SWEEP_MS:
            self._swept_ms = now_ms
            self._stores.sweep()
        return profiles
