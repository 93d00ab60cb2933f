"""Operators' rules: which there are and when each is in force, how they are put, and what callers read of them."""
