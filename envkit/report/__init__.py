"""The faces of one event stream: a live view, plain lines, JSON lines."""
