"""Compares the logits that logits.mjs wrote into a folder with PyTorch's in float64 on the same weights and images.

Usage: python3 gpu/logits.py FOLDER JSON
"""
import json
import os
import sys

import torch

from vgg11 import Vgg11, read_floats, read_safetensors

folder, out = sys.argv[1:]
with open(os.path.join(folder, "runs.json")) as file:
    runs = json.load(file)
count, size, classes = runs["images"], runs["imageSize"], runs["numClasses"]
images = read_floats(os.path.join(folder, "images.f32"), count, 3, size, size)
model = Vgg11(classes).eval()
model.load_state_dict(read_safetensors(os.path.join(folder, "weights.safetensors")))


def difference(logits, truth):
    """The largest difference relative to the largest true number. None if a number is not finite."""
    error = ((logits.double() - truth).abs().max() / truth.abs().max()).item()
    return error if torch.isfinite(logits).all() else None


def torch_on_gpu(precision):
    """PyTorch's own logits in this precision, to see what the precision itself costs. None without a GPU."""
    if not torch.cuda.is_available():
        return None
    types = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    kind = types.get(precision, torch.float32)
    on_gpu = Vgg11(classes).eval()
    on_gpu.load_state_dict(model.state_dict())
    on_gpu = on_gpu.to("cuda", kind, memory_format=torch.channels_last)
    inputs = images.to("cuda", kind).contiguous(memory_format=torch.channels_last)
    return on_gpu(inputs).float().cpu()


with torch.no_grad():
    peers = {}
    for precision in {run["precision"] for run in runs["runs"]}:
        try:
            peers[precision] = torch_on_gpu(precision)
        except RuntimeError as error:  # PyTorch without this GPU's code, or out of memory
            print(f"PyTorch's own {precision} did not run: {str(error).splitlines()[0]}")
            peers[precision] = None
    truth = model.double()(images.double())

rows = []
for run in runs["runs"]:
    precision, batch, bar = run["precision"], run["batch"], run["bar"]
    logits = read_floats(os.path.join(folder, f"{precision}-{batch}.f32"), batch, classes)
    right = truth[:batch]
    error = difference(logits, right)
    six = right.topk(6).values
    # If the best classes are closer together than the bar, their order means nothing.
    apart = (six[:, :-1] - six[:, 1:]).min(dim=1).values > bar * right.abs().max()
    same = (logits.topk(5).indices == right.topk(5).indices).all(dim=1)
    peer = peers[precision]
    rows.append({
        "precision": precision, "batch": batch, "error": error, "bar": bar,
        "torchError": None if peer is None else difference(peer[:batch], right),
        "top5Same": int(same.sum()), "top5Told": int(apart.sum()), "top5ToldSame": int((same & apart).sum()),
        "passed": error is not None and error <= bar
        and (precision == "bfloat16" or bool((same | ~apart).all())),
    })

print("precision  batch  difference  at most  PyTorch's own  top 5 the same  of those told apart")
for row in rows:
    peer = "-" if row["torchError"] is None else f"{row['torchError']:.1e}"
    error = "not finite" if row["error"] is None else f"{row['error']:.1e}"
    print(f"{row['precision']:9}  {row['batch']:5}  {error:10}  {row['bar']:<7g}  {peer:13}  "
          f"{row['top5Same']} of {row['batch']:<8}    {row['top5ToldSame']} of {row['top5Told']}")
with open(out + ".part", "w") as file:
    json.dump({"reference": "PyTorch float64", "torch": torch.__version__, "gpu": runs["gpu"],
               "imageSize": size, "runs": rows}, file)
os.replace(out + ".part", out)
passed = sum(row["passed"] for row in rows)
print(f"against PyTorch {torch.__version__} in float64: {passed} of {len(rows)} within their bars")
sys.exit(passed != len(rows))
