"""JAX's training steps: one compiled loop over steps."""
from functools import partial

import jax_rivals
from common import Unavailable
from jax_rivals import jax, jnp

import training

try:
    import optax
except ImportError as error:
    raise Unavailable(f"optax cannot be imported: {error}") from error

versions, device = jax_rivals.versions, jax_rivals.device
H = 1e-4


def layers(key, widths):
    found = []
    for i, o in zip(widths, widths[1:]):
        key, own = jax.random.split(key)
        found.append((jax.random.uniform(own, (i, o), minval=-1) * (6 / i) ** 0.5, jnp.zeros(o)))
    return found


def outputs(theta, inputs):
    *hidden, (w, b) = theta
    for v, c in hidden:
        inputs = jax.nn.relu(inputs @ v + c)
    return inputs @ w + b


def encoded(tables, grid, points):
    """Interpolated features of all levels; XLA makes scatters of their gradients."""
    features = []
    for table, side in zip(tables, grid.resolutions()):
        scaled = points * side
        cell = jnp.minimum(jnp.floor(scaled), side - 1)
        along, cell = scaled - cell, cell.astype(jnp.uint32)
        total = 0
        for corner in range(4):
            x, y = cell[:, 0] + (corner & 1), cell[:, 1] + (corner >> 1)
            dense = (side + 1) ** 2 <= table.shape[0]
            hashed = (x ^ (y * jnp.uint32(2654435761))) % table.shape[0]
            entry = x + y * (side + 1) if dense else hashed
            ax = along[:, :1] if corner & 1 else 1 - along[:, :1]
            ay = along[:, 1:] if corner >> 1 else 1 - along[:, 1:]
            total = total + ax * ay * table[entry]
        features.append(total)
    return jnp.concatenate(features, 1)


def images(case):
    """What draws batches, and the loss of one."""
    keys = jax.random.split(jax.random.key(1), 3)
    n = training.IMAGES
    pixels = jax.random.randint(keys[0], (n, case.widths[0]), 0, 251).astype(jnp.uint8)
    labels = jax.random.randint(keys[1], (n,), 0, 10)

    def draw(data, key):
        rows = jax.random.randint(key, (case.batch,), 0, n)
        return data[0][rows].astype(jnp.float32) / 255, data[1][rows]

    def loss(theta, batch):
        z = outputs(theta, batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(z, batch[1]).mean()

    return layers(keys[2], case.widths), (pixels, labels), draw, loss


def points(case):
    keys = jax.random.split(jax.random.key(1), 3)
    side, grid = training.SIDE, case.grid
    texels = jax.random.uniform(keys[0], (side * side, 3))
    own = jax.random.split(keys[1], grid.levels)
    tables = [
        jax.random.uniform(key, (n, grid.features), minval=-1e-4, maxval=1e-4)
        for key, n in zip(own, grid.entries())
    ]

    def at_centres(texels, key):
        index = jax.random.randint(key, (case.batch,), 0, side * side)
        place = jnp.stack([index % side, index // side], 1)
        return (place + 0.5) / side, texels[index]

    def anywhere(texels, key):
        place = jax.random.uniform(key, (case.batch, 2))
        scaled = jnp.clip(place * side - 0.5, 0, side - 1)
        low = jnp.minimum(jnp.floor(scaled), side - 2)
        a, low = scaled - low, low.astype(jnp.int32)
        at = lambda x, y: texels[y * side + x]
        (x, y), ax, ay = (low[:, 0], low[:, 1]), a[:, :1], a[:, 1:]
        upper = at(x, y) * (1 - ax) + at(x + 1, y) * ax
        lower = at(x, y + 1) * (1 - ax) + at(x + 1, y + 1) * ax
        return place, upper * (1 - ay) + lower * ay

    def loss(theta, batch):
        found = outputs(theta[1], encoded(theta[0], grid, batch[0]))
        return jnp.mean((found - batch[1]) ** 2)

    draw = anywhere if case.anywhere else at_centres
    return (tables, layers(keys[2], case.widths)), texels, draw, loss


def scan(case):
    theta, data, draw, loss = images(case) if case.grid is None else points(case)
    adam = optax.adam(H)

    @partial(jax.jit, static_argnums=3, donate_argnums=(0, 1))
    def steps(theta, state, data, count, key):
        def one(carry, key):
            theta, state = carry
            value, gradient = jax.value_and_grad(loss)(theta, draw(data, key))
            updates, state = adam.update(gradient, state, theta)
            return (optax.apply_updates(theta, updates), state), value

        return jax.lax.scan(one, (theta, state), jax.random.split(key, count))

    @partial(jax.jit, static_argnums=3)
    def gradients(theta, last, data, count, key):
        # The last gradient is carried, so that all are made.
        def one(last, key):
            value, gradient = jax.value_and_grad(loss)(theta, draw(data, key))
            return gradient, value

        return jax.lax.scan(one, last, jax.random.split(key, count))

    held = [jax.random.key(2), jax.tree.map(jnp.copy, theta), adam.init(theta)]
    zeros = jax.tree.map(jnp.zeros_like, theta)

    def run_steps(count):
        held[0], key = jax.random.split(held[0])
        (held[1], held[2]), losses = steps(held[1], held[2], data, count, key)
        jax.block_until_ready((held[1], losses))

    def run_gradients(count):
        held[0], key = jax.random.split(held[0])
        jax.block_until_ready(gradients(theta, zeros, data, count, key))

    yield training.Timed("step", run_steps)
    yield training.Timed("gradient", run_gradients)


TRAINING = {"jax, jit and scan": scan}
