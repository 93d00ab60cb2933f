"""What makes pages of docs/ from the code."""
