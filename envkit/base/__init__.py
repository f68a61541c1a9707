"""The lowest layer: errors, waiting, deadlines, paths, ownership. It imports no other layer."""
