"""One query on three engines, compared bit by bit: what the promise "the same SQL, the same value" is tested with."""
