"""What the page Ask and the sliders for goals ask, and what becomes of it. Never draws."""
