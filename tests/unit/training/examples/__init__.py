"""Unit tests of training/examples."""
