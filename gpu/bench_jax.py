"""VGG11 in JAX on the GPU, channels last, timed on request: answers each line of bench.mjs with one line of JSON.

Usage: python3 gpu/bench_jax.py [--any-device]. With --any-device JAX may run on a CPU.
"""
import json
import os
import sys
import time

# Other processes measure on the same GPU. Without this JAX takes three quarters of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
from jax import lax

TYPES = {"float16": jnp.float16, "bfloat16": jnp.bfloat16}
WIDTHS = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
may_use_any_device = sys.argv[1:] == ["--any-device"]
if sys.argv[1:] and not may_use_any_device:
    print(f"Expected --any-device or no argument but received {' '.join(sys.argv[1:])}", file=sys.stderr)
    sys.exit(2)
# Output of libraries must not mix with the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def parameters(kind, size):
    """Random numbers that keep activations in the order of 1, layer by layer."""
    shapes, channels = [], 3
    for width in WIDTHS:
        if width != "M":
            shapes.append((3, 3, channels, width))
            channels = width
    side = size // 32
    shapes += [(512 * side * side, 4096), (4096, 4096), (4096, 1000)]
    keys = jax.random.split(jax.random.PRNGKey(0), len(shapes))
    made = []
    for key, shape in zip(keys, shapes):
        fan = 1
        for extent in shape[:-1]:
            fan *= extent
        made.append(((jax.random.normal(key, shape) * (2 / fan) ** 0.5).astype(kind), jnp.zeros(shape[-1], kind)))
    return made


def forward(layers, x):
    left = iter(layers)
    for width in WIDTHS:
        if width == "M":
            x = lax.reduce_window(x, jnp.array(-jnp.inf, x.dtype), lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        else:
            weight, bias = next(left)
            x = lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x + bias)
    x = x.reshape(x.shape[0], -1)
    for last in (False, False, True):
        weight, bias = next(left)
        x = x @ weight + bias
        x = x if last else jax.nn.relu(x)
    return x


def prepare(precision, batch, size):
    kind = TYPES.get(precision, jnp.float32)
    jax.config.update("jax_default_matmul_precision", "highest" if precision == "float32" else "tensorfloat32")
    layers = parameters(kind, size)
    images = jax.random.normal(jax.random.PRNGKey(1), (batch, size, size, 3)).astype(kind)
    compiled = jax.jit(forward).lower(layers, images).compile()
    compiled(layers, images).block_until_ready()
    return lambda: compiled(layers, images)


def measure(work, slice_ms):
    latencies = []
    until = time.perf_counter() + slice_ms / 1000
    while time.perf_counter() < until or len(latencies) < 3:
        start = time.perf_counter()
        work().block_until_ready()
        latencies.append(1000 * (time.perf_counter() - start))
    count = max(3, int(slice_ms / min(latencies)))
    start = time.perf_counter()
    results = [work() for _ in range(count)]
    results[-1].block_until_ready()
    return {"device": latencies, "device, queued": [1000 * (time.perf_counter() - start) / count]}


works = {}


def answer(question):
    if "hello" in question:
        device = jax.devices()[0]
        if device.platform != "gpu" and not may_use_any_device:
            return {"error": f"JAX {jax.__version__} has no GPU here"}
        return {"jax": jax.__version__, "gpu": device.device_kind}
    key = (question["precision"], question["batch"], question["imageSize"])
    if key not in works:
        works.clear()
        works[key] = prepare(*key)
    return {"timesMs": measure(works[key], question["sliceMs"])}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:  # the caller continues without this one
        result = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    print(json.dumps(result), file=answers, flush=True)
