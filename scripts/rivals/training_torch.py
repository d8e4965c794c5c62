"""PyTorch's training steps: eager, compiled, and as one CUDA graph."""
import torch_rivals
from common import Unavailable
from torch_rivals import DEVICE, timed as by_clocks, torch

import training

versions, device = torch_rivals.versions, torch_rivals.device
H = 1e-4
# Products in f32, as kutta's.
torch.backends.cuda.matmul.allow_tf32 = False


class HashGrid(torch.nn.Module):
    """Interpolated features of all levels, by indexing; its gradient is index_add."""

    def __init__(self, grid):
        super().__init__()
        self.grid = grid
        tables = [torch.rand(n, grid.features, device=DEVICE) * 2e-4 - 1e-4 for n in grid.entries()]
        self.tables = torch.nn.ParameterList(tables)

    def forward(self, points):
        features = []
        for table, side in zip(self.tables, self.grid.resolutions()):
            scaled = points * side
            cell = scaled.floor().clamp(max=side - 1)
            along, cell = scaled - cell, cell.long()
            total = 0
            for corner in range(4):
                bits = torch.tensor([corner & 1, corner >> 1], device=DEVICE)
                vertex = cell + bits
                x, y = vertex[:, 0], vertex[:, 1]
                dense = (side + 1) ** 2 <= table.shape[0]
                entry = x + y * (side + 1) if dense else (x ^ (y * 2654435761)) % table.shape[0]
                weight = torch.where(bits == 1, along, 1 - along).prod(1, keepdim=True)
                total = total + weight * table[entry]
            features.append(total)
        return torch.cat(features, 1)


def layers(widths):
    parts = []
    for i, o in zip(widths, widths[1:]):
        parts += [torch.nn.Linear(i, o, device=DEVICE), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def images(case):
    """Draws a batch of images: pixels in bytes stay on the device."""
    n = training.IMAGES
    pixels = torch.randint(0, 251, (n, case.widths[0]), dtype=torch.uint8, device=DEVICE)
    labels = torch.randint(0, 10, (n,), device=DEVICE)

    def draw():
        rows = torch.randint(0, n, (case.batch,), device=DEVICE)
        return pixels[rows].float() / 255, labels[rows]

    return draw


def points(case):
    """Draws points of an image with the values there."""
    side = training.SIDE
    texels = torch.rand(side * side, 3, device=DEVICE)

    def at_centres():
        index = torch.randint(0, side * side, (case.batch,), device=DEVICE)
        place = torch.stack([index % side, index // side], 1)
        return (place + 0.5) / side, texels[index]

    def anywhere():
        place = torch.rand(case.batch, 2, device=DEVICE)
        scaled = (place * side - 0.5).clamp(0, side - 1)
        low = scaled.floor().clamp(max=side - 2)
        a, (x, y) = scaled - low, low.long().unbind(1)
        at = lambda x, y: texels[y * side + x]
        ax, ay = a[:, :1], a[:, 1:]
        upper = at(x, y) * (1 - ax) + at(x + 1, y) * ax
        lower = at(x, y + 1) * (1 - ax) + at(x + 1, y + 1) * ax
        return place, upper * (1 - ay) + lower * ay

    return anywhere if case.anywhere else at_centres


def network(case):
    """A model, how it draws, and its loss."""
    if case.grid is None:
        return layers(case.widths), images(case), torch.nn.functional.cross_entropy
    model = torch.nn.Sequential(HashGrid(case.grid), layers(case.widths))
    return model, points(case), torch.nn.functional.mse_loss


def steps(model, draw, loss, **more):
    """A gradient and a step, each on a batch of its own."""
    on_cuda = DEVICE == "cuda"
    adam = torch.optim.Adam(model.parameters(), lr=H, fused=on_cuda, capturable=on_cuda, **more)

    def gradient():
        adam.zero_grad(set_to_none=False)
        inputs, wanted = draw()
        loss(model(inputs).float(), wanted).backward()

    def step():
        gradient()
        adam.step()

    return {"step": step, "gradient": gradient}


def timed(kind, function):
    run, seconds = by_clocks(function)
    return training.Timed(kind, run, seconds)


def eager(case):
    for kind, function in steps(*network(case)).items():
        yield timed(kind, function)


def compiled(case):
    model, draw, loss = network(case)
    model, draw = torch.compile(model), torch.compile(draw)
    for kind, function in steps(model, draw, loss).items():
        try:
            function()
        except Exception as error:  # whatever the compiler of this machine lacks
            raise Unavailable(f"torch.compile: {type(error).__name__}") from error
        yield timed(kind, function)


def captured(function):
    """A CUDA graph of it."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def graph(case):
    if DEVICE != "cuda":
        raise Unavailable("CUDA graphs want CUDA")
    for kind, function in steps(*network(case)).items():
        yield timed(kind, captured(function))


TRAINING = {"torch, eager": eager, "torch, compiled": compiled, "torch, CUDA graph": graph}
