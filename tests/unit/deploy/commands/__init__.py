"""Unit tests of deploy/commands."""
