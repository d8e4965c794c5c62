#!/usr/bin/env python3
"""PyTorch's own optimizers on a sequence of gradients: what tests/ingredients.rs holds kutta to.

    python3 -m venv venv && venv/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    venv/bin/python scripts/torch_optimizers.py > tests/data/torch.txt

θ in float64 after 100 steps, from θ_i = (i − 32)/16, by gradients that are exact in float32.
"""
import torch

STEPS, N, LR = 100, 64, 0.01

RECIPES = [
    ("sgd", lambda p: torch.optim.SGD(p, LR)),
    ("momentum", lambda p: torch.optim.SGD(p, LR, momentum=0.9)),
    ("nesterov", lambda p: torch.optim.SGD(p, LR, momentum=0.9, nesterov=True)),
    ("sgd-l2", lambda p: torch.optim.SGD(p, LR, momentum=0.9, weight_decay=0.1)),
    ("adagrad", lambda p: torch.optim.Adagrad(p, LR, eps=1e-10)),
    ("rmsprop", lambda p: torch.optim.RMSprop(p, LR, alpha=0.99, eps=1e-8)),
    ("rmsprop-momentum", lambda p: torch.optim.RMSprop(p, LR, eps=1e-8, momentum=0.9)),
    ("adam", lambda p: torch.optim.Adam(p, LR, eps=1e-8)),
    ("adam-l2", lambda p: torch.optim.Adam(p, LR, eps=1e-8, weight_decay=0.1)),
    ("adamw", lambda p: torch.optim.AdamW(p, LR, eps=1e-8, weight_decay=0.1)),
    ("amsgrad", lambda p: torch.optim.Adam(p, LR, eps=1e-8, amsgrad=True)),
    ("adam-clipped", lambda p: torch.optim.Adam(p, LR, eps=1e-8)),
]


def gradient(t):
    """((37 t + 101 i) mod 211 − 105)/64 for i = 0 … N − 1, and zero where 17 | t + i."""
    i = torch.arange(N, dtype=torch.int64)
    g = ((37 * t + 101 * i) % 211 - 105).to(torch.float64) / 64
    return torch.where((t + i) % 17 == 0, torch.zeros_like(g), g)


print(f"# PyTorch {torch.__version__}: optimizer, then θ after {STEPS} steps")
for name, make in RECIPES:
    theta = ((torch.arange(N, dtype=torch.float64) - 32) / 16).requires_grad_()
    optimizer = make([theta])
    for t in range(STEPS):
        theta.grad = gradient(t)
        if name.endswith("clipped"):
            torch.nn.utils.clip_grad_norm_([theta], 1.0)
        optimizer.step()
    print(name, *(repr(float(x)) for x in theta.detach()))
