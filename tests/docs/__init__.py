"""A simulated reader of the documents who types every command in them."""
