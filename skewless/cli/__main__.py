"""`python -m skewless.cli`."""

from skewless.cli import main

main()
