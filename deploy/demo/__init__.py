"""The demo: a simulated platform, viewers who ask, and a screen."""
