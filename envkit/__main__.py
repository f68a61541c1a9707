"""`python -m envkit`."""

from envkit.cli.quick import main

main()
