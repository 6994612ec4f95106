"""Pure functions over the sqlglot AST of a compiled model."""
