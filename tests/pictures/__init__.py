"""Pictures of the documents: what a real terminal showed while the real program ran, and whether it still would."""
