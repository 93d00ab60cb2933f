"""How people run it: configuration, command line, Serve application, HTTP. Holds no recommendation logic."""
