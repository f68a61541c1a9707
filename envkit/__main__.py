"""Run envkit's command line with `python -m envkit`."""

from envkit.cli.quick import main

main()
