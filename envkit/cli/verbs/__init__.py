"""The commands, one module for each; `cli.verb` describes their form."""
