"""One module a command of `tidecast`; each has `add_parser(subparsers)`. Holds no logic that a program would import."""
