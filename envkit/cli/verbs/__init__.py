"""The commands, one file each; see `cli.verb`."""
