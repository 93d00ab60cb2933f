"""Tests of the formats that recordings are written in."""
