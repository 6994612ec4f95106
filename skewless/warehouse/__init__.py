"""The offline store: one module an engine, the Delta lake, and dbt as a command."""
