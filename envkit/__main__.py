"""Run envkit's command line with `python -m envkit`."""

from envkit.cli.fast_path import main

main()
