"""Which encoders a worker's rooms are read with: the one in use, and one that takes its place. Never encodes.

Encoders are asked once a second which one rooms are to be read with. Where that is another than the one in use, both
read until the one to come has read enough rooms, and a while longer: replicas change over meanwhile. Then it is the one
in use. The vectors of the one before are kept for some minutes more, for a way back.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from actors.settings import ExchangeConfig
from streaming.clock import Clock

LOGGER = logging.getLogger(__name__)

UNKNOWN_S = 30.0  # an encoder that was not to be had is asked for again after so long
HEARD_S = 2.0  # all Encoders name one for so long before it counts: they hear of a version one by one


class EncoderExchange:
    """The encoder in use and the one to come, as versions. in_use: "" until it is known. coming: "" for none."""

    def __init__(self, config: ExchangeConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.in_use = ""
        self.coming = ""
        self.share_read = 0.0  # of the live rooms, by the one to come
        self._enough_s: float | None = None  # since when the one to come has read enough
        self._alone_s = clock.monotonic_s()  # since when there is none to come
        self._unknown: dict[str, float] = {}  # encoders that are not to be had, and when that was said
        self._wanted, self._wanted_s = "", 0.0  # what Encoders name at present, and since when

    def restore(self, encoder_versions: Iterable[str]) -> None:
        """Takes what most rooms were read with before a restart for the one in use, unless it is known already."""
        if not self.in_use:
            known = Counter(version for version in encoder_versions if version)
            self.in_use = known.most_common(1)[0][0] if known else ""

    def hear(self, wanted: str) -> None:
        """Takes what an Encoder says that rooms are to be read with, "" where it does not say."""
        now_s = self._clock.monotonic_s()
        if wanted != self._wanted:
            self._wanted, self._wanted_s = wanted, now_s
        if not wanted or now_s - self._wanted_s < HEARD_S or self._is_unknown(wanted):
            return
        if not self.in_use:
            self.in_use = wanted
        elif wanted == self.in_use:
            self._stop()
        elif wanted != self.coming:
            LOGGER.info("rooms: the encoder %s is to take the place of %s", wanted, self.in_use)
            self.coming, self.share_read, self._enough_s = wanted, 0.0, None

    def miss(self, encoder_version: str) -> None:
        """Takes note that an encoder is not to be had. The one in use then gives way at once."""
        self._unknown[encoder_version] = self._clock.monotonic_s()
        if encoder_version == self.coming:
            LOGGER.warning("rooms: the encoder %s is not to be had; %s reads on", encoder_version, self.in_use)
            self._stop()
        elif encoder_version == self.in_use:
            LOGGER.warning("rooms: the encoder %s is not to be had any more", encoder_version)
            self.in_use = self.coming  # "" where none is known: the encoder then says which one it is
            self._stop()

    def measure(self, share: float) -> None:
        """Takes the share of the live rooms that the one to come has read. It is in use once that was enough."""
        if not self.coming:
            return
        self.share_read = share
        now_s = self._clock.monotonic_s()
        if share < self._config.enough:
            self._enough_s = None
        elif self._enough_s is None:
            self._enough_s = now_s
        if self._enough_s is not None and now_s - self._enough_s >= self._config.settle_s:
            LOGGER.info("rooms: read by %s now, in the place of %s", self.coming, self.in_use)
            self.in_use = self.coming
            self._stop()

    @property
    def is_settling(self) -> bool:
        """Whether the one to come has read enough: answers may use its vectors by now."""
        return self._enough_s is not None

    @property
    def is_over(self) -> bool:
        """Whether the vectors of any encoder but the one in use are not needed any more."""
        return not self.coming and self._clock.monotonic_s() - self._alone_s >= self._config.keep_s

    def _stop(self) -> None:
        if self.coming:
            self._alone_s = self._clock.monotonic_s()
        self.coming, self.share_read, self._enough_s = "", 0.0, None

    def _is_unknown(self, encoder_version: str) -> bool:
        return self._clock.monotonic_s() - self._unknown.get(encoder_version, float("-inf")) < UNKNOWN_S
