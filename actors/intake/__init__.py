"""Records that come over HTTP: checked as the workers check them, and written as producers write them."""
