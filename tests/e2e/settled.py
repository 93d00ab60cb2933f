"""Whether what workers have published is what one undisturbed pass over the same input gives. Never disturbs them."""

from __future__ import annotations

import time

from deploy.config.settings import Settings
from streaming.log.log import Log
from tests.reference import expected_profiles, expected_states, published_profiles, published_states
from training.content.text_encoder import TextEncoder

WAIT_S = 60.0


def differing_states(log: Log, settings: Settings, encoder: TextEncoder, wait_s: float = WAIT_S) -> str:
    """What differs once nothing is written any more, after waiting for it; "" where all is equal."""
    states = expected_states(log, encoder.encode, encoder.version, settings.window)
    profiles = expected_profiles(log, settings.profile)
    deadline_s = time.monotonic() + wait_s
    while True:
        rooms, viewers = published_states(log), published_profiles(log)
        differing = {
            room: names
            for room, facts in states.items()
            if (names := [name for name, value in facts.items() if rooms.get(room, {}).get(name) != value])
        }
        wrong = [viewer for viewer in profiles.keys() | viewers.keys() if profiles.get(viewer) != viewers.get(viewer)]
        unknown = rooms.keys() - states.keys()
        if not (differing or wrong or unknown):
            return ""
        if time.monotonic() > deadline_s:
            some = dict(list(differing.items())[:5])
            return (
                f"{len(differing)} of {len(states)} rooms: {some}; {len(unknown)} unknown rooms; "
                f"{len(wrong)} of {len(profiles)} profiles"
            )
        time.sleep(1.0)
