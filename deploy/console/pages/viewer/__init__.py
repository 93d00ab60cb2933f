"""The parts of the view Viewer that have a file of their own: the version of a list, and operators' rules."""
