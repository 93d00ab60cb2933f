"""Operators' rules as the console has them typed into a form and listed."""
