"""Unit tests of deploy/terminal."""
