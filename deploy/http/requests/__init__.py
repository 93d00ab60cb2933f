"""What is noted of each request: its id, and a line where it took long."""
