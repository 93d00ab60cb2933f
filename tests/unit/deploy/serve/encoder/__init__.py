"""Tests of the Encoder's process. Never a model."""
