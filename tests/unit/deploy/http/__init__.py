"""Unit tests of deploy/http."""
