"""Recorded chat as a ranker may know it at each message, without its future."""
