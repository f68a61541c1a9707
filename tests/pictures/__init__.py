"""Pictures of the documents: terminal output of the real program, and a check that they are current."""
