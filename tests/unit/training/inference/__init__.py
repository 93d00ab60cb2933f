"""Unit tests of training/inference."""
