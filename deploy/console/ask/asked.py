"""What the page Ask is asked, as its address and as queries of the API. Never asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from tidecast_client import Query, Steer

PATH = "/ask"
LISTED = 12  # rooms of each list: two of them, one above the other, are what one scrolls through on a phone


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked. search: a text to find rooms by. text, liked, disliked, strength: what pulls the viewer's list."""

    search: str = ""
    viewer: str = ""
    text: str = ""
    liked: Sequence[str] = ()
    disliked: Sequence[str] = ()
    strength: float = 1.0

    @property
    def plain(self) -> Query | None:
        """The viewer's list without a steer; None while there is no viewer."""
        return Query(viewer=self.viewer, limit=LISTED, explain=True, shown=False) if self.viewer else None

    @property
    def steered(self) -> Query | None:
        """The viewer's list with the steer; None where nothing pulls, or nobody is there to be steered."""
        if not self.viewer or not (self.text or self.liked or self.disliked):
            return None
        steer = Steer(
            text=self.text or None, liked=tuple(self.liked), disliked=tuple(self.disliked), strength=self.strength
        )
        return Query(viewer=self.viewer, limit=LISTED, explain=True, shown=False, steer=steer)

    @property
    def address(self) -> str:
        """The address of the page that asks this, without what is so anyway."""
        said = {
            "q": self.search,
            "viewer": self.viewer,
            "text": self.text,
            "liked": _joined(self.liked),
            "disliked": _joined(self.disliked),
            "strength": "" if self.strength == 1.0 else f"{self.strength:g}",
        }
        query = urlencode({name: value for name, value in said.items() if value}, safe=",")
        return f"{PATH}?{query}" if query else PATH


def asked_of(*, q: str, viewer: str, text: str, liked: str, disliked: str, strength: str, most: float) -> Asked:
    """What an address asks. most: the largest strength. A strength that is none is as if it was not there."""
    try:
        given = float(strength)
    except ValueError:
        given = 1.0
    return Asked(
        search=q.strip(),
        viewer=viewer.strip(),
        text=text.strip(),
        liked=_apart(liked),
        disliked=_apart(disliked),
        strength=given if 0.0 <= given <= most else 1.0,
    )


def _joined(rooms: Sequence[str]) -> str:
    """Ids with commas between them; one in an id is escaped."""
    return ",".join(quote(room, safe="") for room in rooms)


def _apart(joined: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(unquote(one) for one in joined.split(",") if one))
