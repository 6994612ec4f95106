"""SQL -> Flink SQL, source and sink DDL, submission. Its contents come with the streams."""
