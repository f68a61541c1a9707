"""An image that replaces the platform's own DataStorage in tests and makes the same checks."""
