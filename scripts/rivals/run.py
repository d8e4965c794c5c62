#!/usr/bin/env python3
"""The steps that kutta is measured by, as PyTorch, JAX and their ODE solvers do them.

    python3 -m venv venv && venv/bin/pip install -r scripts/rivals/requirements.txt
    venv/bin/python scripts/rivals/run.py --json rivals.json
    cargo run --release -p kutta-cli -- roofline --svg both.svg --against rivals.json

On a CUDA device where there is one, else on the CPU. One flat vector; gradients and
right-hand sides are a vector that is there already. A package that is missing is
skipped, and the file says so. The file is that of docs/roofline.md.
"""
import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from common import Unavailable, conclude, head, measure, put  # noqa: E402

MODULES = ["torch_rivals", "jax_rivals"]


def size(text):
    value = float(text)
    if not 1 <= value < 2**32 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 2^32 - 1")
    return int(value)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="where the run goes")
    parser.add_argument("--sizes", type=lambda t: [size(x) for x in t.split(",")],
                        default=[10**4, 10**5, 10**6, 2**22, 10**7], help="such as 1e6,4194304")
    parser.add_argument("--samples", type=int, default=21, help="20 or more")
    parser.add_argument("--budget", type=float, default=0.2,
                        help="seconds that a sample of 10 or 100 steps may take")
    found = parser.parse_args()
    if found.samples < 20:
        parser.error(f"--samples {found.samples}: 20 or more")
    return found


def line(row):
    time = row["gpu"] or row["wall"]
    scale = row["bytes"] * row["n"] * 1e-9
    speed, low, high = scale / time["median"], scale / time["p90"], scale / time["p10"]
    nanoseconds = time["median"] / row["n"] * 1e9
    return (f"  {row['name']:<28}{row['per_submit']:>4} a time{row['words']:>5.0f}"
            f"{speed:>8.2f} ({low:.2f}–{high:.2f}){nanoseconds:>9.3f}")


def save(found, modules, rows, skipped):
    run = head(modules, "run.py", found.samples)
    put(found.json, {**run, "measurements": rows, "skipped": skipped})


def main():
    found = options()
    modules, rows, skipped = [], [], []
    for name in MODULES:
        try:
            modules.append(importlib.import_module(name))
        except Unavailable as reason:
            skipped.append({"what": name, "reason": str(reason)})
    for n in found.sizes:
        print(f"n = {n:,}{'':<22}words    GB/s (p10–p90)  ns/param")
        for name, make in [pair for module in modules for pair in module.RIVALS.items()]:
            try:
                rival = make(n)
            except (Unavailable, MemoryError, RuntimeError) as reason:
                skipped.append({"what": f"{name}, n = {n}", "reason": str(reason)})
                continue
            for per_submit in [1, 10, 100]:
                try:
                    row = measure(rival, n, per_submit, found.samples, found.budget)
                except Unavailable as reason:
                    what = f"{rival.name}, n = {n}, {per_submit} a time"
                    skipped.append({"what": what, "reason": str(reason)})
                    continue
                rows.append(row)
                print(line(row), flush=True)
            del rival
            # What is measured stays, whatever becomes of the next.
            if found.json and rows:
                save(found, modules, rows, skipped)
    conclude(rows, skipped, found.json)


if __name__ == "__main__":
    main()
