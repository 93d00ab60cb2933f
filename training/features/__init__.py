"""What is known of viewers and rooms as columns of numbers, compiled, and the visits they come from."""
