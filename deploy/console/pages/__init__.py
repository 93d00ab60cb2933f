"""The pages of the console: what is drawn, and what a click does. Never asks the API by itself, except for a click."""
