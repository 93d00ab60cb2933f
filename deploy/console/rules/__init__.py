"""Operators' rules on their way through the console: typed into a form, listed, and followed to the lists they move."""
