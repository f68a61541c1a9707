"""Reports of the event stream: a live view, plain lines and JSON lines."""
