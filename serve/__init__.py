"""The HTTP shim. It needs the registry snapshot and Redis, nothing else."""
