"""Scripts that the Python of the Flink environment runs by path: they import its packages, never skewless."""
