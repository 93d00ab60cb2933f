"""Unit tests of training/recorded."""
