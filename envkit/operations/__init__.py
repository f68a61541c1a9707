"""One module for each operation of a user: up, down, status, run and the rest. `effects` carries out a plan's steps."""
