"""`python -m bench [NAME…]`: one or more of `NAMES`. Without names, all of them."""

from __future__ import annotations

import argparse
import importlib

NAMES = ("materialize", "sync", "training", "serving", "check", "conformance", "stream", "consume", "freshness", "recovery")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="which benchmarks to run; default: all")
    parser.add_argument("--sizes", help="comma-separated sizes (rows or labels), instead of the benchmark's own")
    args = parser.parse_args()
    for name in args.names or NAMES:
        module = importlib.import_module(f"bench.{name}")
        if args.sizes:
            module.run(tuple(int(s) for s in args.sizes.split(",")))
        else:
            module.run()


if __name__ == "__main__":
    main()
