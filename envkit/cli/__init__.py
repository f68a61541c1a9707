"""The command line. It parses options, calls operations, and prints results. Only it exits and reads `os.environ`."""
