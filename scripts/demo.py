"""Demonstrates the main layers, in four parts. `bash scripts/demo.sh` installs and runs it.

python scripts/demo.py               all four parts
python scripts/demo.py table speed   some of them
"""

import argparse
import time
from pathlib import Path

from demo_parts import digits, forward_table, gradients, speed
from demo_parts.report import console

PARTS = {
    "table": forward_table.show,
    "gradients": gradients.show,
    "digits": digits.show,
    "speed": speed.show,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows what flaxnoise does, on real data.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}. Parts are {', '.join(PARTS)}.")
    start = time.perf_counter()
    for part in arguments.parts or PARTS:
        PARTS[part](arguments.out)
    seconds = time.perf_counter() - start
    console.print(f"\nDone in {seconds:.0f} s. The pictures are in {arguments.out}.")


if __name__ == "__main__":
    main()
