"""Unit tests of training/registry."""
