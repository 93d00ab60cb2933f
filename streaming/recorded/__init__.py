"""Recorded files: read in many formats, and replayed as events."""
