"""Versions of the model: their files, and the topic that names the live one."""
