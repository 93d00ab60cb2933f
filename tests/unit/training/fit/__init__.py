"""Unit tests of training/fit."""
