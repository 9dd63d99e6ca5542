"""Prints how fast the cpu kernel is, as ratios to what one would use instead, beside their goals.

    python -m bench.cpu_goals                   # one thread, then all
    python -m bench.cpu_goals --threads 1 --simd avx2 --only dropout

Both sides of a row run interleaved in one process; a ratio is that of the medians. CPU time tells
more than wall time where other work shares the machine.
"""

import argparse
import os
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="CPUs to use; by default 1, then all")
    parser.add_argument("--simd", help="avx512, avx2, baseline or neon; by default the best")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each side")
    chosen = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    if chosen.threads is None:
        for threads in dict.fromkeys([1, len(cpus)]):
            command = [sys.executable, "-m", "bench.cpu_goals", *sys.argv[1:]]
            subprocess.run([*command, "--threads", str(threads)], check=True)
        return
    # XLA makes its pool of threads for the CPUs that it may use when it starts.
    os.sched_setaffinity(0, cpus[: chosen.threads])
    if chosen.simd:
        os.environ["FLAXNOISE_SIMD"] = chosen.simd
    from bench.cpu_rows import print_table

    print_table(chosen.threads, chosen.only, chosen.rounds)


if __name__ == "__main__":
    main()
