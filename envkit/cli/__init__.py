"""The command line: parses, calls, reports. Only this layer prints, exits and reads `os.environ`."""
