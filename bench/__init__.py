"""One file a claim. `python -m bench [NAME…] [--rows N]` prints a table and writes JSON and a plot to bench/out."""
