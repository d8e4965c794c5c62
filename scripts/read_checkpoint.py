"""Lists the tensors of a checkpoint as Python's safetensors reads them: name, shape,
dtype, and the bits of the first and last element of those in f32. Exits with 3 where
safetensors or numpy are missing."""

import sys

try:
    import numpy
    from safetensors import safe_open
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)

with safe_open(sys.argv[1], framework="numpy") as file:
    print(file.metadata()["kutta.format"])
    for name in file.keys():
        part = file.get_slice(name)
        shape = "x".join(str(length) for length in part.get_shape())
        line = f"{name} {shape} {part.get_dtype()}"
        if part.get_dtype() == "F32":
            bits = file.get_tensor(name).view(numpy.uint32).ravel()
            line += f" {bits[0]:08x} {bits[-1]:08x}"
        print(line)
