"""Moves rows to Redis: from the warehouse in batches and, later, from Kafka."""
