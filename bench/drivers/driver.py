# Shared by the drivers in Python. driver.mjs describes the questions and answers.
import importlib.metadata
import json
import os
import sys
import time

options = json.loads(sys.argv[1])


def say(message):
    with os.fdopen(os.dup(3), "w") as answers:
        answers.write(json.dumps(message) + "\n")


def load(module):
    """Imports the module, or ends the process with the reason."""
    try:
        return __import__(module)
    except Exception as error:  # a missing library can also raise OSError or ValueError
        say({"skip": f"import {module}: {str(error).strip().splitlines()[0]}"})
        sys.exit()


np = load("numpy")


def read_batch(batch):
    """Repeats the images to fill a batch: float32 (N, 3, 224, 224)."""
    images = np.fromfile(options["images"], np.float32).reshape(-1, 3, 224, 224)
    return np.ascontiguousarray(images[np.arange(batch) % len(images)])


def serve(package, prepare):
    """prepare(input (N, 3, 224, 224)) returns a function without arguments that computes the logits."""
    say({"version": importlib.metadata.version(package)})
    batches = {}  # keeps the images with each function: several bindings point into them without a reference
    for line in sys.stdin:
        question = json.loads(line)
        batch = question["batch"]
        if batch not in batches:
            images = read_batch(batch)
            batches[batch] = images, prepare(images)
        forward = batches[batch][1]
        times = []
        for _ in range(question["warmUp"]):
            forward()
        for _ in range(question["repeat"]):
            start = time.perf_counter()
            logits = forward()
            times.append((time.perf_counter() - start) * 1e3)
        say({"timesMs": times, "logits": np.asarray(logits).ravel().tolist()})
