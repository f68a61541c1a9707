"""Shows one stream of events as a live view, as plain lines or as JSON lines."""
