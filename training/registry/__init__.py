"""Versions of the model: their files, and the topic that says which is live."""
