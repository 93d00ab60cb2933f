"""An answer from scored rooms: which of them, in which order, with which reasons, as records and as JSON."""
