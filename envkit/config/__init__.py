"""Configuration: YAML files, overrides and variables in; one frozen, typed `Environment` out."""
