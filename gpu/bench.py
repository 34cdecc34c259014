"""VGG11 in PyTorch on the GPU, channels last, timed on request: answers each line of bench.mjs with one line of JSON.

Usage: python3 gpu/bench.py eager|compile
"""
import json
import os
import sys
import time

import torch

from vgg11 import Vgg11

NORMALIZATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
mode = sys.argv[1]
models, inputs = {}, {}
# Output of libraries must not mix with the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def milliseconds(work, count):
    """The time of `count` calls together on the GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(count):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def roofline():
    """This GPU's present peaks: bytes read and written by a copy, and a bfloat16 product of random matrices."""
    source = torch.empty(2**30, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    copy, product = (lambda: target.copy_(source)), (lambda: a @ b)
    for work in (copy, product):
        milliseconds(work, 3)
    copies = sorted(milliseconds(copy, 5) / 5 for _ in range(5))
    products = sorted(milliseconds(product, 10) / 10 for _ in range(5))
    result = {"copyGBs": 2 * source.numel() * 4 / copies[2] / 1e6, "bfloat16TFLOPs": 2 * 8192**3 / products[2] / 1e9}
    del source, target, a, b
    torch.cuda.empty_cache()
    return result


def prepare(precision, batch, size):
    kind = TYPES.get(precision, torch.float32)
    is_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_tf32
    torch.backends.cudnn.benchmark = True
    if precision not in models:
        model = Vgg11().eval().to("cuda", kind, memory_format=torch.channels_last)
        # max-autotune records CUDA graphs as well.
        models[precision] = torch.compile(model, mode="max-autotune", dynamic=False) if mode == "compile" else model
    key = (precision, batch, size)
    if key not in inputs:
        inputs.clear()
        images = torch.randn(batch, 3, size, size, device="cuda").to(kind, memory_format=torch.channels_last)
        pixels = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8).pin_memory()
        mean, std = (torch.tensor(values, device="cuda", dtype=kind).view(1, 3, 1, 1) for values in NORMALIZATION)
        inputs[key] = images, pixels, mean, std
    images, pixels, mean, std = inputs[key]

    def on_device():
        return models[precision](images)

    def from_pixels():
        there = pixels.to("cuda", non_blocking=True).permute(0, 3, 1, 2).to(kind)
        return models[precision]((there / 255 - mean) / std).to("cpu", non_blocking=True)

    for work in (on_device, from_pixels):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    return {"device": on_device, "pixels": from_pixels}


def measure(name, work, slice_ms):
    latencies = []
    until = time.perf_counter() + slice_ms / 1000
    while time.perf_counter() < until or len(latencies) < 3:
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        latencies.append(1000 * (time.perf_counter() - start))
    count = max(3, int(slice_ms / min(latencies)))
    return {name: latencies, f"{name}, queued": [milliseconds(work, count) / count]}


def answer(question):
    if "hello" in question:
        if not torch.cuda.is_available():
            return {"error": f"PyTorch {torch.__version__} has no GPU here"}
        answer = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                  "gpu": torch.cuda.get_device_name()}
        return answer if mode == "compile" else {**answer, "roofline": roofline()}
    start = time.perf_counter()
    works = prepare(question["precision"], question["batch"], question["imageSize"])
    if question.get("prepare"):
        return {"prepareMs": 1000 * (time.perf_counter() - start)}
    times = {}
    for name, work in works.items():
        times |= measure(name, work, question["sliceMs"])
    return {"timesMs": times}


with torch.inference_mode():
    for line in sys.stdin:
        try:
            result = answer(json.loads(line))
        except Exception as error:  # the caller continues without this one
            result = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(result), file=answers, flush=True)
