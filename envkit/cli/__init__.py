"""The command line: parses, calls, reports. The only place that prints, exits, and looks at `os.environ`."""
