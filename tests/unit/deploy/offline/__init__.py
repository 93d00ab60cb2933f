"""Unit tests of deploy/offline."""
