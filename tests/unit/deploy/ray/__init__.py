"""Unit tests of deploy/ray."""
