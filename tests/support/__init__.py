"""Helpers that several test folders share, such as direct access to engines and a user at a shell."""
