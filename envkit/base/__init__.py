"""The base of every layer: errors, waiting, deadlines, paths, ownership, registry. Imports nothing of the rest."""
