"""Readers of recorded files, one module per format. Never checks a value and never derives events."""
