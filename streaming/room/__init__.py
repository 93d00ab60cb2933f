"""One room's state, aggregated from its chat, its description and what viewers do in it."""
