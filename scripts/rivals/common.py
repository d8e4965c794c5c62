"""What all rivals share: how a time is taken and what a measurement is."""
import datetime
import json
import os
import platform
import shlex
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Callable

WARM_UP_MOST = 12


class Unavailable(Exception):
    """Why a rival cannot run here."""


@dataclass
class Rival:
    """One step of an optimizer or integrator, ready to be timed.

    words are those that a fused implementation moves per parameter (kutta's own
    plan), so that speeds are of useful bytes for all alike.
    """

    name: str
    method: str
    ingredients: str
    words: float
    run: Callable[[int], None]  # so many steps, all of them done when it returns
    seconds: Callable[[int], float] | None = None  # the same by the device's clock
    kind: str = "step"


def summary(samples):
    """As the Rust side has it: percentiles between the two samples beside them."""
    ordered = sorted(samples)

    def at(p):
        place = p * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return {"median": at(0.5), "p10": at(0.1), "p90": at(0.9), "samples": len(ordered)}


def plateau(totals):
    """The last two are within 5 % of the two before."""
    if len(totals) < 4:
        return False
    return abs(sum(totals[-2:]) / sum(totals[-4:-2]) - 1) < 0.05


def measure(rival, n, per_submit, samples, budget):
    """A measurement of the schema, or Unavailable if a sample takes too long."""

    def wall():
        start = time.perf_counter()
        rival.run(per_submit)
        return time.perf_counter() - start

    totals = [wall()]
    if per_submit > 1 and statistics.median([wall(), wall()]) > budget:
        raise Unavailable(f"{per_submit} steps take more than --budget {budget} s")
    while len(totals) < WARM_UP_MOST and not plateau(totals):
        totals.append(wall())
    walls = [wall() / per_submit for _ in range(samples)]
    gpu = None
    if rival.seconds is not None:
        times = [rival.seconds(per_submit) / per_submit for _ in range(samples)]
        gpu = summary([t for t in times if t > 0]) if any(t > 0 for t in times) else None
    case = {"method": rival.method, "ingredients": rival.ingredients, "fusion": "full"}
    return {
        "kind": rival.kind,
        "name": rival.name,
        "case": None if rival.kind == "ceiling" else case,
        "storage": "f32",
        "n": n,
        "cold": False,
        "per_submit": per_submit,
        "words": float(rival.words),
        "bytes": 4.0 * rival.words,
        "gpu": gpu,
        "wall": summary(walls),
    }


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
            return names[0] if names else platform.processor()
    except OSError:
        return platform.processor() or "unknown"


def machine(modules):
    found = [device for module in modules if (device := module.device())]
    name, driver, backend = found[0] if found else (processor(), "none", "CPU")
    versions = {k: v for module in modules for k, v in module.versions().items()}
    return {
        "adapter": name,
        "driver": driver,
        "backend": backend,
        "kind": "discrete" if found else "cpu",
        "library": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "os": f"{platform.system().lower()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
        "cache_bytes": 0,
        "cache_source": "not measured cold",
        "limits": {
            "max_buffer_size": 0,
            "max_storage_buffer_binding_size": 0,
            "max_storage_buffers_per_shader_stage": 0,
        },
    }


def head(modules, program, samples):
    """A run with nothing in it yet."""
    where = machine(modules)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "schema": "kutta-roofline",
        "version": 2,
        "source": "rivals",
        "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(["python3", f"scripts/rivals/{program}", *sys.argv[1:]]),
        "machine": where,
        "protocol": {
            "samples": samples,
            "timestamps": where["backend"] != "CPU",
            "discarded_timestamps": 0,
        },
        "measurements": [],
    }


def put(path, run):
    """Writes the file beside its place and renames it: it is never half of one."""
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(run, file, indent=2, ensure_ascii=False)
            file.write("\n")
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def conclude(rows, skipped, path):
    """Says what was left out, and where the rest is."""
    for entry in skipped:
        print(f"skipped {entry['what']}: {entry['reason']}")
    if not rows:
        sys.exit("error: no rival can run here")
    if path:
        print(f"wrote {path}")
