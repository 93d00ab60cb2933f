"""How recorded files are written: one file a format. Never checks a value and never derives events."""
