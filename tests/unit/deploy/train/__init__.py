"""Unit tests of deploy/train."""
