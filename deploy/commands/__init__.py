"""The commands of `tidecast`: modules with `run`, its options in the signature, and EPILOG. No program imports them."""
