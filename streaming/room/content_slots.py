"""A room's vectors by two encoders: whose they are, and the state as a reader of one of them sees it. Never encodes.

While one encoder takes the place of another, a state carries the vectors of both. A reader reads those of one encoder,
for all rooms, and so never compares vectors of two spaces.
"""

from __future__ import annotations

from msgspec import structs

from streaming.events import OtherContent, RoomState


def encoders_of(state: RoomState) -> tuple[str, ...]:
    """Versions of the encoders that have read the room: its own first."""
    own = (state.encoder_version,) if state.encoder_version else ()
    return own if state.other is None else (*own, state.other.encoder_version)


def read_by(state: RoomState, encoder_version: str) -> RoomState:
    """The state with the vectors of this encoder as its own, and without any where the encoder has not read the room.

    Only the vectors and what belongs to them are others. What is put aside is in `other`, which holds one encoder: for
    the view of a third one, keep the state itself.
    """
    if state.encoder_version == encoder_version:
        return state
    own, other = _own(state) if state.encoder_version else None, state.other
    if other is not None and other.encoder_version == encoder_version:
        return _with(state, other, own)
    return _with(state, OtherContent(""), own or other)


def _own(state: RoomState) -> OtherContent:
    return OtherContent(
        state.encoder_version,
        state.title_vector,
        state.chat_vector,
        state.mean_vector,
        state.title_hash,
        state.chat_hash,
        state.vector_offset,
        state.segment_end_ms,
        state.appended_ms,
    )


def _with(state: RoomState, own: OtherContent, other: OtherContent | None) -> RoomState:
    fields = {name: getattr(own, name) for name in OtherContent.__struct_fields__}
    return structs.replace(state, **fields, other=other)
