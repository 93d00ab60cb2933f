"""Unit tests of deploy/config."""
