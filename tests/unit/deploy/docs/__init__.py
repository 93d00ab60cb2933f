"""Unit tests of deploy/docs."""
