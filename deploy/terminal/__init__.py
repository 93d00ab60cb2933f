"""The output on a terminal: tables, bars, lines."""
