#!/usr/bin/env python3
"""SciPy's RK45 on the flows that tests/adaptive.rs solves: what it accepts and refuses.

    python3 -m venv venv && venv/bin/pip install scipy
    venv/bin/python scripts/solve_ivp.py > tests/data/solve_ivp.txt
"""
import numpy as np
import scipy
from scipy.integrate import RK45


def rosenbrock(t, x):
    return -np.array(
        [-2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)]
    )


def stiff(t, x):
    return -np.array([1.0, 100.0, 1000.0]) * x


print(f"# SciPy {scipy.__version__}: problem rtol atol first_step t_end accepted refused")
for name, flow, start, h, t_end in [
    ("rosenbrock", rosenbrock, [-1.2, 1.0], 1e-4, 1.0),
    ("stiff", stiff, [1.0, -1.0, 0.5], 1e-4, 1.0),
]:
    for rtol in (1e-3, 1e-4):
        atol = rtol / 1000
        solver = RK45(flow, 0.0, np.array(start), t_end, first_step=h, rtol=rtol, atol=atol)
        accepted = 0
        # The constructor evaluates the first gradient; an attempt takes six.
        while solver.status == "running":
            solver.step()
            accepted += 1
        attempts = (solver.nfev - 1) // 6
        print(name, rtol, atol, h, t_end, accepted, attempts - accepted)
