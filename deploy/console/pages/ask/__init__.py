"""The page Ask, and the slider that it shares with the goals of the view Viewer. Never polls."""
