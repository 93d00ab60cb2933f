"""One viewer's profile, aggregated from their events, and their presence in rooms."""
