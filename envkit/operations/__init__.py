"""One module for each thing a user asks for: up, down, status, run and the rest."""
