"""The export formats: each is a module with a function `render(variables) -> str`."""
