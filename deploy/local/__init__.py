"""The system on one machine: what starts it, stops it and installs it."""
