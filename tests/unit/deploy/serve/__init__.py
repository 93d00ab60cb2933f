"""Unit tests of deploy/serve."""
