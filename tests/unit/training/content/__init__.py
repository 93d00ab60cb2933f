"""Unit tests of training/content."""
