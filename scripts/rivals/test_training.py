#!/usr/bin/env python3
"""Times a rival that sleeps, and holds what training.py writes: test_training.py FILE."""
import argparse
import json
import os
import sys
import time
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import training  # noqa: E402
from common import Unavailable, head, put  # noqa: E402

SECONDS = 5e-4


def sleeper(case):
    yield training.Timed("step", lambda count: time.sleep(2 * SECONDS * count))
    yield training.Timed("gradient", lambda count: time.sleep(SECONDS * count))


def nobody(case):
    raise Unavailable("nobody: it is not here\nand a second line")


def device():
    return None


def main():
    path = sys.argv[1]
    module = types.SimpleNamespace(
        TRAINING={"sleeper": sleeper, "nobody": nobody}, device=device, versions=dict
    )
    found = argparse.Namespace(rivals=[], samples=20, limit=5)
    rows, skipped, lengths = [], [], []

    def keep():
        run = head([module], "training.py", found.samples)
        put(path, {**run, "training": rows, "skipped": skipped})
        with open(path, encoding="utf-8") as file:
            lengths.append(len(json.load(file)["training"]))

    training.take(training.CASES[:2], [module], rows, skipped, found, keep)
    # After each rival of each case, whole each time.
    assert lengths == [2, 2, 4, 4], lengths
    assert [row["kind"] for row in rows] == ["step", "gradient"] * 2
    for row in rows:
        expected = SECONDS * (2 if row["kind"] == "step" else 1)
        assert row["wall"]["median"] >= expected, row
        assert row["wall"]["samples"] >= 3 and row["gpu"] is None, row
    assert rows[0]["parameters"] == 101_770 and rows[2]["batch"] == 1024
    assert [entry["what"] for entry in skipped] == [
        "nobody, mnist-128-b64", "nobody, mnist-128-b1024"
    ]
    assert skipped[0]["reason"] == "nobody: it is not here", skipped
    left = [name for name in os.listdir(os.path.dirname(path) or ".") if name.endswith(".tmp")]
    assert not left, left


if __name__ == "__main__":
    main()
