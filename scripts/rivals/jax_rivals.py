"""Optax's Adam and diffrax's Dormand–Prince, compiled by XLA."""
from functools import partial

from common import Rival, Unavailable

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise Unavailable(f"jax cannot be imported: {error}") from error

H = 1e-3


def versions():
    found = {"jax": jax.__version__}
    for name in ["optax", "diffrax"]:
        try:
            found[name] = __import__(name).__version__
        except ImportError:
            pass
    return found


def device():
    """Name, driver and backend, or None on the CPU."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        return None
    return first.device_kind, first.client.platform_version.replace("\n", " "), first.platform


def random(n, seed):
    """Of size 0.5 to 1.5, of both signs."""
    x = jax.random.uniform(jax.random.key(seed), (n,), minval=-1.0)
    return x + 0.5 * jnp.sign(x + 1e-9)


def rival(name, method, ingredients, words, step, start, **more):
    """step takes what it returned before, so that buffers can be donated."""
    state = [start]

    def run(steps):
        for _ in range(steps):
            state[0] = step(*state[0])
        jax.block_until_ready(state[0])

    return Rival(name, method, ingredients, words, run, **more)


def copy(n):
    turned = jax.jit(lambda x: (-x,))
    return rival("jax copy", "", "", 2, turned, (random(n, 1),), kind="ceiling")


def adam(n):
    try:
        import optax
    except ImportError as error:
        raise Unavailable(f"optax cannot be imported: {error}") from error
    optimizer = optax.adam(H)
    gradient, theta = random(n, 2), random(n, 1)

    @partial(jax.jit, donate_argnums=(0, 1))
    def one(theta, state, gradient):
        updates, state = optimizer.update(gradient, state, theta)
        return optax.apply_updates(theta, updates), state

    start = (theta, optimizer.init(theta))
    step = lambda theta, state: one(theta, state, gradient)
    return rival("optax adam, jit", "euler", "full", 7, step, start)


def dopri5(n):
    try:
        import diffrax
    except ImportError as error:
        raise Unavailable(f"diffrax cannot be imported: {error}") from error
    k, theta = random(n, 2), random(n, 1)
    # XLA must not know that all stages have one k, or it would leave most out.
    term = diffrax.ODETerm(lambda t, y, k: jax.lax.optimization_barrier(k))
    # Loose: every step is accepted.
    controller = diffrax.PIDController(rtol=1.0, atol=1e6, dtmax=H)

    @partial(jax.jit, donate_argnums=(0,))
    def one(theta, k):
        solution = diffrax.diffeqsolve(
            term,
            diffrax.Dopri5(),
            t0=0.0,
            t1=H,
            dt0=H,
            y0=theta,
            args=k,
            stepsize_controller=controller,
            saveat=diffrax.SaveAt(t1=True),
            max_steps=4,
        )
        return solution.ys[0]

    step = lambda theta: (one(theta, k),)
    return rival("diffrax dopri5, jit", "dp5", "error", 32, step, (theta,))


RIVALS = {"jax copy": copy, "optax adam, jit": adam, "diffrax dopri5, jit": dopri5}
