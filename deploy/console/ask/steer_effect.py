"""What a steer does to a list: who moves, how far, and by what pull. Never asks for a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from deploy.console.explanation import waterfall
from deploy.console.list_moves import Place, places, reordered
from deploy.console.shown_text import NAME, shown
from tidecast_client import Answer, Item

PULL = "steer"  # what the API calls it among an item's terms
OF_A_SUM = "pull is what the steer adds to a room's score"
OF_LOG_ODDS = "of a pull a third is added to the log odds of entering"
TEXT_AWAY = (
    "The Encoder has not read the text in time, so it does not count yet. It is asked again by itself; Health shows "
    "whether the Encoder keeps up."
)
NAMED = 3  # rooms; more are counted


@dataclass(frozen=True, slots=True)
class Compared:
    """A viewer's list without a steer and with it, of the same moment and the same replica."""

    without: Answer
    steered: Answer


@dataclass(frozen=True, slots=True)
class Effect:
    """What the steer has done.

    places: of every room of either list; `here` with the steer, `there` without. pulls: of the steered list's rooms.
    strongest: the largest size of a pull, above 0. turned: how many of the rooms in both lists stand in another order.
    """

    places: Mapping[str, Place]
    pulls: Mapping[str, float]
    strongest: float
    came: int
    went: int
    turned: int

    @property
    def words(self) -> str:
        """The effect in a line."""
        if not (self.came or self.went or self.turned):
            return "no room has moved"
        return f"{self.came} came, {self.went} went, {self.turned} of the others changed places"


def effect(compared: Compared) -> Effect:
    """The effect of a steer on a list."""
    without, steered = compared.without.rooms, compared.steered.rooms
    found = places(steered, without)
    pulls = {item.room: pull for item in steered if (pull := _pull(item)) is not None}
    return Effect(
        places=found,
        pulls=pulls,
        strongest=max((abs(pull) for pull in pulls.values()), default=0.0) or 1.0,
        came=sum(place.there is None for place in found.values()),
        went=sum(place.here is None for place in found.values()),
        turned=reordered([item.room for item in without], [item.room for item in steered]),
    )


def what_a_pull_is(steered: Answer) -> str:
    """How a pull counts in this answer; "" where no room says."""
    first = next((item for item in steered.rooms if _pull(item) is not None), None)
    return "" if first is None else OF_A_SUM if waterfall(first).adds_up else OF_LOG_ODDS


def what_does_not_count(steered: Answer) -> Sequence[str]:
    """Sentences on those parts of the steer that count otherwise than one would think."""
    if steered.steer is UNSET:
        return ("This system does not say what became of the steer; is it older than this console?",)
    found = [TEXT_AWAY] if steered.steer.text == "unavailable" else []
    if steered.steer.unknown:
        found.append(f"Nobody knows {_names(steered.steer.unknown)}, or nothing was said there yet: it pulls nothing.")
    if steered.steer.ended:
        found.append(f"Ended, and counted as at the end: {_names(steered.steer.ended)}.")
    return found


def _pull(item: Item) -> float | None:
    return None if item.terms is UNSET else item.terms.get(PULL)


def _names(rooms: Sequence[str]) -> str:
    names = ", ".join(shown(room, NAME) for room in rooms[:NAMED])
    return f"{names} and {len(rooms) - NAMED} more" if len(rooms) > NAMED else names
