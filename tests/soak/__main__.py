"""The command line of the soak."""

import argparse
import random
import sys

from .run import soak


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask soak")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to go on (10)")
    parser.add_argument("--seed", type=int, help="the seed of an earlier run")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    faults = soak(60 * options.minutes, seed)
    for fault in faults:
        print("FAULT:", fault)
    print(f"{len(faults)} faults; seed {seed}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
