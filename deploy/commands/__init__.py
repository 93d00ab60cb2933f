"""One module a command of `tidecast`: `run`, whose signature has its options, and EPILOG. No program imports them."""
