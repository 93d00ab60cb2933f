"""Unit tests of training/model."""
