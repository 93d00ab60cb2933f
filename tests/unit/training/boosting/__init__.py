"""Unit tests of training/boosting."""
