"""The means to run Tidecast: configuration, command line, Serve application, HTTP. Has no recommendation logic."""
