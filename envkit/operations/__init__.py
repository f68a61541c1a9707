"""The operations of a user, one module each: up, down, status, run and others. `effects` carries out a plan's steps."""
