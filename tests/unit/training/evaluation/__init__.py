"""Unit tests of training/evaluation."""
