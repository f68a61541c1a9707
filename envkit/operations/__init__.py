"""The operations that a user starts, one module each (up, down, status, run ...). `effects` carries out a plan."""
