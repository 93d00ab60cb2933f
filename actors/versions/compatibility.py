"""The check that a version fits the live rooms: their vectors must come from its encoder. Never changes a room."""

from __future__ import annotations

from itertools import islice

from actors.state.room_table import RoomTable
from streaming.errors import VersionError
from training.inference.interface import ServedVersion

SAMPLE = 500  # oldest rooms whose encoder is looked at: all of them would take the lock for milliseconds
FITTING = 0.5  # share of those with content that must come from the version's encoder


def check_fits(model: ServedVersion, rooms: RoomTable) -> None:
    """Checks that the rooms' vectors come from the model's encoder. Raises VersionError. The caller holds the lock."""
    some = islice(rooms.snapshots.values(), SAMPLE)
    encoders = [snapshot.state.encoder_version for snapshot in some if snapshot.state.encoder_version]
    if rooms.dimension and rooms.dimension != model.d_content:
        raise VersionError(
            f"version {model.name} reads content of {model.d_content} dimensions; the rooms' has {rooms.dimension}"
        )
    if encoders.count(model.encoder_version) < FITTING * len(encoders):
        other = next(encoder for encoder in encoders if encoder != model.encoder_version)
        raise VersionError(
            f"version {model.name} was trained on content of the encoder {model.encoder_version}; "
            f"the rooms' comes from {other}: train again, or set encoder.model back"
        )
