"""What every layer stands on: errors, waiting, deadlines, paths, ownership. Imports nothing of the rest."""
