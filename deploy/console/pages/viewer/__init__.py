"""The parts of the view Viewer that have a file of their own: version, goals, and operators' rules. Never polls."""
