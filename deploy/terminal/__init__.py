"""What a person sees on a terminal: tables, bars, lines."""
