"""Configuration: read YAML files, overrides and variables, and return one frozen, typed `Environment`."""
