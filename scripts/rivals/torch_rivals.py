"""PyTorch's Adam in its forms, torchdiffeq's RK4 and torchode's Dormand–Prince."""
from common import Rival, Unavailable

try:
    import torch
except ImportError as error:
    raise Unavailable(f"torch cannot be imported: {error}") from error

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
H = 1e-3


def versions():
    found = {"torch": torch.__version__}
    for name in ["torchdiffeq", "torchode"]:
        try:
            found[name] = getattr(__import__(name), "__version__", "of unknown version")
        except ImportError:
            pass
    return found


def device():
    """Name, driver and backend, or None on the CPU."""
    if DEVICE == "cpu":
        return None
    return torch.cuda.get_device_name(), f"CUDA {torch.version.cuda}", "CUDA"


def random(n, seed):
    """Of size 0.5 to 1.5, of both signs."""
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    x = torch.rand(n, generator=generator, device=DEVICE) * 2 - 1
    return x + 0.5 * torch.sign(x + 1e-9)


def timed(step):
    """Runs so many steps, by the wall and by events."""

    def run(steps):
        for _ in range(steps):
            step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    if DEVICE == "cpu":
        return run, None

    def seconds(steps):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(steps):
            step()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1e-3

    return run, seconds


def rival(name, method, ingredients, words, step, **more):
    run, seconds = timed(step)
    return Rival(name, method, ingredients, words, run, seconds, **more)


def copy(n):
    x, y = random(n, 1), random(n, 2)
    return rival("torch copy", "", "", 2, lambda: y.copy_(x), kind="ceiling")


def adam(n, name, compiled=False, clipped=False, **options):
    theta = random(n, 1).requires_grad_()
    theta.grad = random(n, 2)
    optimizer = torch.optim.Adam([theta], lr=H, **options)

    def step():
        if clipped:
            torch.nn.utils.clip_grad_norm_([theta], 1e30)
        optimizer.step()

    if compiled:
        step = torch.compile(step)
        try:
            step()
        except Exception as error:  # whatever the compiler of this machine lacks
            raise Unavailable(f"torch.compile: {type(error).__name__}") from error
    return rival(name, "euler", "full", 8 if clipped else 7, step)


def rk4(n):
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise Unavailable(f"torchdiffeq cannot be imported: {error}") from error
    k, theta = random(n, 2), random(n, 1)
    t = torch.tensor([0.0, H], device=DEVICE)

    def step():
        with torch.no_grad():
            odeint(lambda t, y: k, theta, t, method="rk4")

    # Its "rk4" is the 3/8 rule; 14 words are those of the classical one.
    return rival("torchdiffeq rk4", "rk4", "plain", 14, step)


def dopri5(n):
    try:
        import torchode
    except ImportError as error:
        raise Unavailable(f"torchode cannot be imported: {error}") from error
    k, theta = random(n, 2)[None], random(n, 1)[None]
    term = torchode.ODETerm(lambda t, y: k)
    method = torchode.Dopri5(term=term)
    # Loose: every step is accepted, and none is longer than H.
    controller = torchode.IntegralController(atol=1e6, rtol=1.0, term=term, dt_max=H)
    solver = torchode.AutoDiffAdjoint(method, controller)
    ends = [torch.tensor([t], device=DEVICE) for t in (0.0, H)]
    problem = torchode.InitialValueProblem(y0=theta, t_start=ends[0], t_end=ends[1])
    dt0 = torch.tensor([H], device=DEVICE)

    def step():
        with torch.no_grad():
            solver.solve(problem, dt0=dt0)

    return rival("torchode dopri5", "dp5", "error", 32, step)


RIVALS = {
    "torch copy": copy,
    "torch adam, fused": lambda n: adam(n, "torch adam, fused", fused=True),
    "torch adam, foreach": lambda n: adam(n, "torch adam, foreach", foreach=True),
    "torch adam, compiled": lambda n: adam(n, "torch adam, compiled", compiled=True),
    "torch adam, fused, clipped": lambda n: adam(
        n, "torch adam, fused, clipped", clipped=True, fused=True
    ),
    "torchdiffeq rk4": rk4,
    "torchode dopri5": dopri5,
}
