#!/usr/bin/env python3
"""Makes what PIL's resize and torchvision's transforms make of pixels, as digests: preprocessing.json.

Needs Debian's python3-torchvision (0.14.1) and python3-pil (9.4). Run: python3 make_preprocessing.py
"resizes": each entry resizes pixels (height, width, 3) to (toHeight, toWidth) with each of PIL's filters. Byte i of
the pixels is (i * 2654435761 mod 2^32) >> 24. "L" is convert("L"), then the resize. A digest is the first 16
hexadecimal digits of the SHA-256 of the result's bytes.
"transforms": each entry is one composition of torchvision's transforms for the lossless images of images/, with the
digest of the crop (H, W, C) and 16 samples of the normalised (C, H, W) tensor.
"""
import hashlib, json, os
import numpy as np
from PIL import Image
import torchvision.transforms as T

here = os.path.dirname(os.path.abspath(__file__))
filters = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR,
           "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def digest(image):
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()[:16]


def resizes():
    rng = np.random.default_rng(28)
    sizes = [(1, 1, 3, 2), (5, 7, 5, 7), (1, 90, 40, 40), (90, 1, 40, 40), (300, 2, 3, 150), (257, 131, 1, 1)]
    # Sides of all magnitudes: both ways of resizing, by small and large ratios.
    sizes += [tuple(int(v) for v in np.exp(rng.uniform(0, np.log(320), 4))) for _ in range(34)]
    for width, height, to_width, to_height in sizes:
        count = width * height * 3
        data = ((np.arange(count, dtype=np.uint64) * 2654435761) % 2**32 >> 24).astype(np.uint8)
        rgb = Image.fromarray(data.reshape(height, width, 3))
        entry = {"width": width, "height": height, "toWidth": to_width, "toHeight": to_height}
        for mode in ("RGB", "L"):
            image = rgb.convert(mode)
            entry[mode] = {name: digest(image.resize((to_width, to_height), filter)) for name, filter in filters.items()}
        yield entry


def transforms():
    modes = T.InterpolationMode
    cases = [
        ({"resize": "squash", "crop": 224}, [T.Resize((224, 224))]),
        ({"resize": "squash", "crop": 96, "interpolation": "lanczos"}, [T.Resize((96, 96), modes.LANCZOS)]),
        ({"resize": 232, "crop": 224, "interpolation": "bicubic"}, [T.Resize(232, modes.BICUBIC), T.CenterCrop(224)]),
        ({"resize": 64, "crop": 64, "interpolation": "nearest"}, [T.Resize(64, modes.NEAREST), T.CenterCrop(64)]),
        ({"resize": 101, "crop": 96, "interpolation": "box"}, [T.Resize(101, modes.BOX), T.CenterCrop(96)]),
        ({"resize": "squash", "crop": 32, "channels": 1}, [T.Grayscale(), T.Resize((32, 32))]),
        ({"resize": 256, "crop": 224, "channels": 1, "interpolation": "bicubic"},
         [T.Grayscale(), T.Resize(256, modes.BICUBIC), T.CenterCrop(224)]),
    ]
    for name in ("landscape.png", "small.png", "gray.png", "alpha.png", "palette.gif"):
        image = Image.open(os.path.join(here, "images", name)).convert("RGB")
        for options, steps in cases:
            crop = T.Compose(steps)(image)
            channels = options.get("channels", 3)
            mean, std = ([0.1307], [0.3081]) if channels == 1 else ([0.5, 0.4, 0.3], [0.5, 0.25, 0.2])
            flat = T.Normalize(mean, std)(T.ToTensor()(crop)).reshape(-1)
            at = [int(k) for k in np.linspace(0, len(flat) - 1, 16).astype(np.int64)]
            yield {"image": name, "options": {**options, "mean": mean, "std": std}, "crop": digest(crop), "at": at,
                   "values": [float(flat[k]) for k in at]}


def lines(entries):
    return ",\n".join(json.dumps(entry) for entry in entries)


with open(os.path.join(here, "preprocessing.json"), "w") as file:
    file.write('{"resizes":[\n%s\n],"transforms":[\n%s\n]}\n' % (lines(resizes()), lines(transforms())))
