"""Real servers for development and tests: Kafka, Flink with its SQL Gateway, Valkey, Postgres, on free ports of loopback."""
