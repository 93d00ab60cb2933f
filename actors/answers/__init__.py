"""Answers beside the recommendation, from the same tables and scores: given rooms, trends, viewers."""
