#!/usr/bin/env python3
"""The training steps that kutta is measured by, as PyTorch, JAX and tiny-cuda-nn do them.

    python3 -m venv venv && venv/bin/pip install -r scripts/rivals/requirements.txt
    venv/bin/python scripts/rivals/training.py --json rivals-training.json
    cargo run --release -p kutta-cli -- roofline --training --against rivals-training.json

The cases are those of `kutta roofline --training`: the same widths, batches, activation
(ReLU), loss and optimizer (Adam, lr 1e-4, betas 0.9 and 0.999, eps 1e-8), data on the
device, and a batch drawn there for each step. On a CUDA device where there is one, else on
the CPU. A rival that cannot be imported is skipped, and the file says so. The file is that
of docs/roofline.md; it is written anew after each case of each rival, and is whole whenever
somebody interrupts this.
"""
import argparse
import importlib
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from typing import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from common import WARM_UP_MOST, Unavailable, conclude, head, plateau, put, summary  # noqa: E402

# What each module needs, to be told without importing it.
MODULES = {"training_torch": "torch", "training_jax": "jax", "training_tcnn": "tinycudann"}
IMAGES = 60_000
SIDE = 512
MOST_REPEATS = 200
FEWEST = 3


@dataclass(frozen=True)
class Grid:
    """A hash grid of two features, in two dimensions."""

    levels: int
    log2_table: int
    coarsest: int
    growth: float
    features: int = 2

    def resolutions(self):
        return [int(self.coarsest * self.growth**level) for level in range(self.levels)]

    def entries(self):
        """Of each level: its vertices, or a table that they share."""
        return [min((side + 1) ** 2, 1 << self.log2_table) for side in self.resolutions()]


@dataclass(frozen=True)
class Case:
    name: str
    batch: int
    widths: tuple  # from the inputs, or the encoding's features, to the outputs
    grid: Grid | None = None
    anywhere: bool = False  # points anywhere, interpolated; else centres of texels

    def parameters(self):
        layers = sum((i + 1) * o for i, o in zip(self.widths, self.widths[1:]))
        grid = sum(self.grid.entries()) * self.grid.features if self.grid else 0
        return layers + grid


# crates/kutta-cli/src/roofline/training/cases.rs has the same.
CASES = [
    Case("mnist-128-b64", 64, (784, 128, 10)),
    Case("mnist-128-b1024", 1024, (784, 128, 10)),
    Case("mnist-1024x2-b1024", 1024, (784, 1024, 1024, 10)),
    Case("mnist-4096x2-b4096", 4096, (784, 4096, 4096, 10)),
    Case("grid-32-b8192", 8192, (16, 32, 3), Grid(8, 11, 8, 1.6)),
    Case("grid-64x2-b65536", 65536, (32, 64, 64, 3), Grid(16, 15, 8, 1.6)),
    Case("image-64x2-b262144", 1 << 18, (32, 64, 64, 3), Grid(16, 15, 16, 1.5), anywhere=True),
]


@dataclass
class Timed:
    """Steps or gradients of one rival, ready to be timed."""

    kind: str  # "step": with Adam; "gradient": forward and backward alone
    run: Callable[[int], None]  # so many, all of them done when it returns
    seconds: Callable[[int], float] | None = None  # the same by the device's clock


def measure(case, name, timed, samples, limit):
    """An entry of `training`."""

    def wall(count):
        start = time.perf_counter()
        timed.run(count)
        return time.perf_counter() - start

    # The first has kernels to compile.
    wall(1)
    one = min(wall(1), wall(1))
    count = max(1, min(MOST_REPEATS, int(1e-2 / one)))
    # Where a loop is compiled, each length is compiled anew.
    wall(count)
    began, totals = time.perf_counter(), [wall(count)]
    while (len(totals) < WARM_UP_MOST and not plateau(totals)
           and time.perf_counter() - began < limit / 2):
        totals.append(wall(count))

    def times(of):
        found, began = [], time.perf_counter()
        while len(found) < samples and (
            len(found) < FEWEST or time.perf_counter() - began < limit
        ):
            found.append(of(count) / count)
        return [t for t in found if t > 0]

    walls = times(wall)
    device = times(timed.seconds) if timed.seconds else []
    return {
        "case": case.name,
        "kind": timed.kind,
        "name": name,
        "parameters": case.parameters(),
        "batch": case.batch,
        "per_submit": count,
        "dispatches": None,
        "form": [],
        "gpu": summary(device) if device else None,
        "wall": summary(walls),
        "predicted": None,
    }


def line(row):
    time_ = row["gpu"] or row["wall"]
    median, low, high = (1e6 * time_[key] for key in ("median", "p10", "p90"))
    return (f"  {row['name']:<28}{row['kind']:<10}{median:>12,.1f} us"
            f"   ({low:,.1f}–{high:,.1f}), {row['per_submit']} at a time")


def take(cases, modules, rows, skipped, found, keep):
    """Times all rivals on all cases; `keep` is called after each."""
    for case in cases:
        print(f"{case.name}: {'-'.join(map(str, case.widths))}, batch {case.batch:,}, "
              f"{case.parameters():,} parameters", flush=True)
        for name, make in [pair for module in modules for pair in module.TRAINING.items()]:
            if found.rivals and not any(part in name for part in found.rivals):
                continue
            try:
                for timed in make(case):
                    rows.append(measure(case, name, timed, found.samples, found.limit))
                    print(line(rows[-1]), flush=True)
            except (Unavailable, MemoryError, RuntimeError) as reason:
                what = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
                skipped.append({"what": f"{name}, {case.name}", "reason": what})
            keep()


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="where the run goes")
    names = [case.name for case in CASES]
    parser.add_argument("--cases", type=lambda t: t.split(","), default=names,
                        help="names of cases, between commas")
    parser.add_argument("--rivals", type=lambda t: t.split(","), default=[],
                        help="parts of rivals' names; all without any")
    parser.add_argument("--samples", type=int, default=21, help="20 or more")
    parser.add_argument("--limit", type=float, default=60,
                        help="seconds that the samples of a figure may take: fewer then, 3 or more")
    parser.add_argument("--list", action="store_true",
                        help="names cases, and rivals with what they lack, and measures nothing")
    found = parser.parse_args()
    if found.samples < 20:
        parser.error(f"--samples {found.samples}: 20 or more")
    if not found.limit > 0:
        parser.error(f"--limit {found.limit}: above 0")
    if wrong := [name for name in found.cases if name not in names]:
        parser.error(f"--cases: {wrong[0]} is none of {', '.join(names)}")
    return found


def listed():
    for case in CASES:
        print(f"{case.name}: {case.parameters()} parameters, batch {case.batch}")
    for module, package in MODULES.items():
        there = importlib.util.find_spec(package) is not None
        print(f"{module}: {package} {'is installed' if there else 'is not installed'}")


def main():
    found = options()
    if found.list:
        return listed()
    modules, rows, skipped = [], [], []
    for name in MODULES:
        try:
            modules.append(importlib.import_module(name))
        except Unavailable as reason:
            skipped.append({"what": name, "reason": str(reason)})

    def keep():
        if found.json and rows:
            run = head(modules, "training.py", found.samples)
            put(found.json, {**run, "training": rows, "skipped": skipped})

    cases = [case for case in CASES if case.name in found.cases]
    try:
        take(cases, modules, rows, skipped, found, keep)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    conclude(rows, skipped, found.json)


if __name__ == "__main__":
    main()
