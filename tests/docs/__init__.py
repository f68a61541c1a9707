"""Somebody who reads the documents and types every command in them."""
