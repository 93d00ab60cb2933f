"""The generators of pages in docs/ from the code."""
