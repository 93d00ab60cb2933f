"""The console: web pages on which an engineer sees live rooms, lists and health, and writes a chat line."""
