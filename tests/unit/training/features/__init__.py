"""Unit tests of training/features."""
