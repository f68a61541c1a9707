"""An image that stands in for the platform's own DataStorage, and is as exacting as that is."""
