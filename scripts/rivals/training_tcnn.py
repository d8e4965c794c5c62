"""tiny-cuda-nn: hash grid and network as fused kernels in f16, with PyTorch's Adam."""
from common import Unavailable

try:
    import tinycudann as tcnn
except (ImportError, OSError) as error:
    raise Unavailable(f"tinycudann cannot be imported: {error}") from error

import training_torch

device = training_torch.device


def versions():
    return {"tinycudann": getattr(tcnn, "__version__", "of unknown version")}


def network(case):
    hidden = case.widths[1:-1]
    if case.grid is None or len(set(hidden)) != 1 or hidden[0] not in (16, 32, 64, 128):
        raise Unavailable("its fused networks have equal widths up to 128, behind an encoding")
    grid = case.grid
    encoding = {
        "otype": "HashGrid",
        "n_levels": grid.levels,
        "n_features_per_level": grid.features,
        "log2_hashmap_size": grid.log2_table,
        "base_resolution": grid.coarsest,
        "per_level_scale": grid.growth,
    }
    layers = {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": hidden[0],
        "n_hidden_layers": len(hidden),
    }
    model = tcnn.NetworkWithInputEncoding(2, case.widths[-1], encoding, layers)
    return model, training_torch.points(case), training_torch.torch.nn.functional.mse_loss


def eager(case):
    for kind, function in training_torch.steps(*network(case)).items():
        yield training_torch.timed(kind, function)


def graph(case):
    for kind, function in training_torch.steps(*network(case)).items():
        yield training_torch.timed(kind, training_torch.captured(function))


TRAINING = {"tiny-cuda-nn, f16": eager, "tiny-cuda-nn, f16, CUDA graph": graph}
