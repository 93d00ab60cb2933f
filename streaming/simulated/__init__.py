"""Owns the parts of the simulated platform. Its door is `streaming.simulate`."""
