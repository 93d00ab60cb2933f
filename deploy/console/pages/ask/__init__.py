"""The page Ask, and sliders for what a list is asked with. Never polls."""
