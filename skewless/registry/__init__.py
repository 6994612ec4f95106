"""The control plane: definitions, plans, versions, snapshots. Never holds values."""
