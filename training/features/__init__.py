"""Features of viewers and rooms: columns of numbers, compiled, and the visits they come from."""
