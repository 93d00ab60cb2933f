"""Unit tests of deploy/image."""
