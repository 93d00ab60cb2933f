"""The routes of HTTP: their table and what each does with a request. Never speaks ASGI."""
