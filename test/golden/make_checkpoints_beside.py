#!/usr/bin/env python3
"""Makes small checkpoints with much beside the state dict, with Python 2's strings, and with class names.

Needs Debian's python3-torch (1.13.1) and python3-numpy. Run: python3 make_checkpoints_beside.py
Each file has a JSON twin as in make_checkpoints.py.
"""
import argparse, collections, datetime, decimal, http, json, os, pathlib, pickle
import numpy
import torch
from make_checkpoints import describe

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
g = torch.Generator().manual_seed(13)
r = lambda *s: torch.rand(*s, generator=g) * 2 - 1
base = collections.OrderedDict([("features.0.weight", r(2, 3, 3, 3)), ("features.0.bias", r(2)), ("classifier.0.weight", r(3, 8))])


def save(name, obj, **kw):
    path = os.path.join(out, name)
    torch.save(obj, path, **kw)
    with open(path + ".json", "w") as f:
        json.dump(describe(base), f)
    print(name, os.path.getsize(path))


class Two(pickle._Pickler):
    """Writes text as Python 2 wrote str: SHORT_BINSTRING, or BINSTRING from 256 bytes on."""
    dispatch = dict(pickle._Pickler.dispatch)

    def text(self, s):
        b = s.encode("latin1")
        self.write(b"U" + bytes([len(b)]) + b if len(b) < 256 else b"T" + len(b).to_bytes(4, "little") + b)
        self.memoize(s)
    dispatch[str] = text


class module:
    Pickler = Two
    dump = staticmethod(lambda o, f, protocol=2: Two(f, protocol).dump(o))


def beside():
    shared = numpy.arange(3.0)
    curve = {"numpy": shared, numpy.float64(0.5): [shared, shared], "dtype": shared.dtype}
    return {
        "epoch": 1,
        "args": argparse.Namespace(lr=0.1, data=pathlib.Path("/data"), betas=(0.9, 0.999), inner=argparse.Namespace(a=1)),
        "best": numpy.float64(0.9), "curve": curve, "random": numpy.random.RandomState(1).get_state(),
        "generator": numpy.random.default_rng(1),
        "history": collections.defaultdict(list, loss=[0.5, 0.25]), "milestones": collections.Counter([30, 60, 60]),
        "queue": collections.deque([1, 2], maxlen=3), "kind": http.HTTPStatus.OK, "made": datetime.datetime(2020, 1, 2),
        "number": decimal.Decimal("0.1"), "long": 2**200, "negative": -2**70, "complex": 1 + 2j, "bytes": b"\x00\xff" * 200,
        "array": bytearray(b"ab"), "set": {1, 2}, "frozen": frozenset([("a", 1)]), "half": "\udc80", "text": "x" * 300,
        "function": collections.namedtuple, "type": int, "float": torch.float32, "device": torch.device("cpu"),
        "tensors": {"list": [torch.view_as_complex(r(2, 2)), torch.quantize_per_tensor(r(3), 0.1, 0, torch.quint8)]},
        "sparse": torch.eye(2).to_sparse(), "layout": torch.strided, "nothing": None, "yes": True,
        "model": base,
    }


def main():
    save("beside.pth", beside())
    save("beside-legacy.pth", beside(), _use_new_zipfile_serialization=False)
    save("beside-protocol1.pth", {k: v for k, v in beside().items() if k != "sparse"}, pickle_protocol=1)
    save("beside-protocol4.pth", beside(), pickle_protocol=4)
    save("beside-legacy-protocol4.pth", beside(), pickle_protocol=4, _use_new_zipfile_serialization=False)
    # Python 2 had lists of lists in an OrderedDict's arguments, and Latin-1 bytes in texts.
    old = {"state_dict": base, "arch": "vgg11", "path": "caf\xe9", "class_to_idx": {"cat\xe9": 0, "dog": 1}, "log": "x" * 300}
    save("python2.pth", old, pickle_module=module)
    save("python2-legacy.pth", old, pickle_module=module, _use_new_zipfile_serialization=False)
    save("class-to-idx.pth", {"arch": "vgg11", "state_dict": base, "class_to_idx": {"dog": 1, "cat": 0}})
    save("namespace-labels.pth", {"state_dict": base, "args": argparse.Namespace(lr=0.1, classes=["cat", "dog"])})


if __name__ == "__main__":
    main()
