"""Configuration: reads YAML files, overrides and variables, and returns one frozen, typed `Environment`."""
