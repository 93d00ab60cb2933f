"""What is known of an installation, written to files and read into another one. Never needs a running system."""
