# What the scripts share: `python SCRIPT.py CALL ARGUMENTS` makes one call. Arguments are JSON; each result is one line of JSON.
import json
import sys

import numpy as np


def emit(**result):
    print(json.dumps(result), flush=True)


def run(calls):
    """Makes the call that the command line names."""
    calls[sys.argv[1]](**json.loads(sys.argv[2]))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def files(paths, shape=None):
    """The files of images as an array of BYTES, [N,1] unless another shape is given."""
    return np.array([read(path) for path in paths], dtype=object).reshape(shape or [-1, 1])


def tensor(path, images=1):
    """Normalised images of a file of float32, the same one `images` times."""
    return np.repeat(np.fromfile(path, np.float32).reshape(1, 3, 224, 224), images, axis=0)


def texts(array):
    """BYTES as lists of texts."""
    return [[value.decode() for value in row] for row in array]


def raised(error_type, call):
    """What the error of a call says. A call that succeeds is a defect."""
    try:
        call()
    except error_type as error:
        return {"type": type(error).__name__, "status": error.status(), "message": error.message()}
    raise AssertionError("Expected an error")
