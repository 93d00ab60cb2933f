"""The fields of a steer: whose list, and the text and rooms that pull it. Never asks for a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from actors.requests.asked_text import MAX_ASKED_LENGTH
from actors.requests.steer import MAX_STEERING, MOST_STRENGTH
from deploy.console.ask.asked import Asked
from deploy.console.pages.ask.resting_slider import RestingSlider
from deploy.console.pages.composer import COLD_START
from deploy.console.pages.panel import panel, quiet_button
from deploy.console.shown_text import NAME, shown, typed
from streaming.events import MAX_ID_LENGTH
from tidecast_client import Room

STEP = 0.25
STRENGTH = "1 as usual, 0 not at all"


class RoomChoice:
    """A field for some of the live rooms, found by typing a part of title or id."""

    def __init__(self, label: str, rooms: Sequence[str], changed: Callable[[], None]) -> None:
        self._labels = {room: shown(room, NAME) for room in rooms}
        self._live: Mapping[str, str] = {}
        self._field = ui.select(
            self._labels, label=label, value=list(rooms), multiple=True, with_input=True, on_change=changed
        )
        self._field.props(f"dense outlined options-dense use-chips clearable max-values={MAX_STEERING}")
        self._field.classes("tc-field tc-rooms-field").on("focus", self._renew)

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms that are chosen."""
        return tuple(self._field.value or ())

    def offer(self, live: Mapping[str, str]) -> None:
        """Offers these rooms from the next time that somebody comes to the field: no list jumps while one reads it."""
        first = not self._live
        self._live = live
        if first and live:
            self._renew()

    def put(self, rooms: Sequence[str]) -> None:
        """Chooses these rooms."""
        self._labels = self._labels | {room: self._live.get(room, shown(room, NAME)) for room in rooms}
        self._field.set_options(self._labels, value=list(rooms))

    def _renew(self) -> None:
        chosen = {room: self._live.get(room, self._labels.get(room, shown(room, NAME))) for room in self.rooms}
        options = {**chosen, **self._live}
        if options != self._labels:
            self._labels = options
            self._field.set_options(options)


class SteerForm:
    """The fields. changed: called when one has changed."""

    def __init__(self, asked: Asked, changed: Callable[[], None], known: Callable[[], Sequence[str]]) -> None:
        """known: gives viewers whom the system knows."""
        self._changed, self._known = changed, known
        with panel("Steer", "what pulls the list of this viewer") as (_, end):
            with end:
                self._clear = quiet_button("clear", self.clear)
            with ui.element("div").classes("tc-steer"):
                self.viewer = ui.input("viewer", value=asked.viewer, on_change=changed)
                self.viewer.props(f"dense outlined debounce=400 maxlength={MAX_ID_LENGTH}")
                self._text = ui.input("towards a text", value=asked.text, on_change=changed)
                self._text.props(f"dense outlined clearable debounce=400 maxlength={MAX_ASKED_LENGTH}")
                self._liked = RoomChoice("towards rooms", asked.liked, changed)
                self._disliked = RoomChoice("away from rooms", asked.disliked, changed)
                with ui.element("div").classes("tc-actions"):
                    quiet_button("a newcomer", lambda: self.viewer.set_value(COLD_START)).tooltip(
                        "an id that nobody has: a cold-start viewer, without a profile"
                    )
                    self._somebody = quiet_button("somebody known", self._next_known)
                self._strength = RestingSlider(
                    "strength", STRENGTH, value=asked.strength, top=MOST_STRENGTH, step=STEP, rested=changed
                )
        self._somebody.set_visibility(False)

    def asked(self, search: str) -> Asked:
        """What the page is asked, with a text that rooms are searched by."""
        return Asked(
            search=search,
            viewer=typed(self.viewer.value),
            text=typed(self._text.value),
            liked=self._liked.rooms,
            disliked=self._disliked.rooms,
            strength=self._strength.value,
        )

    @property
    def chosen(self) -> Mapping[str, bool]:
        """The rooms that pull: whether they are liked, else disliked."""
        return dict.fromkeys(self._disliked.rooms, False) | dict.fromkeys(self._liked.rooms, True)

    def show(self, live: Sequence[Room], *, steers: bool, knows: bool) -> None:
        """Offers live rooms. steers: whether anything pulls. knows: whether the system names viewers."""
        offered = {room.room: shown(f"{room.title or '(no title)'} · {room.room}", 90) for room in live}
        self._liked.offer(offered)
        self._disliked.offer(offered)
        self._clear.set_visibility(steers)
        self._somebody.set_visibility(knows)

    def steer_by(self, text: str) -> None:
        """Pulls towards a text."""
        self._text.set_value(text)

    def like(self, room: str) -> None:
        """Pulls towards a room, or does so no more."""
        self._turn(room, self._liked, self._disliked)

    def dislike(self, room: str) -> None:
        """Pulls away from a room, or does so no more."""
        self._turn(room, self._disliked, self._liked)

    def clear(self) -> None:
        """Lets nothing pull."""
        self._text.set_value("")
        self._liked.put(())
        self._disliked.put(())
        self._strength.put(1.0)
        self._changed()

    def _turn(self, room: str, here: RoomChoice, there: RoomChoice) -> None:
        if room in there.rooms:
            there.put([one for one in there.rooms if one != room])
        here.put([one for one in here.rooms if one != room] if room in here.rooms else [*here.rooms, room])

    def _next_known(self) -> None:
        """Shows the next of the viewers whom the system has heard of lately."""
        known, now = list(self._known()), typed(self.viewer.value)
        at = known.index(now) + 1 if now in known else 0
        if known:
            self.viewer.set_value(known[at % len(known)])
