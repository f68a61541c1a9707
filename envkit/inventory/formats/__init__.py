"""The syntaxes in which variables are exported: one module each, with `render(variables) -> str`."""
