# The driver of ncnn: Winograd and every other default. Without "half", storage and arithmetic below float32 are off.
# ncnn has no batches: the images of a batch run one after the other, each on all threads.
from driver import load, np, options, serve

ncnn = load("ncnn")
net = ncnn.Net()
net.opt.num_threads = options["threads"]
net.opt.use_vulkan_compute = False
if not options["settings"]["half"]:
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
        setattr(net.opt, f"use_{name}", False)
net.load_param(options["model"])
net.load_model(options["model"].replace(".param", ".bin"))


def prepare(images):
    mats = [ncnn.Mat(image) for image in images]

    def infer(image):
        extractor = net.create_extractor()
        extractor.input("input", image)
        return np.array(extractor.extract("logits")[1])

    return lambda: [infer(image) for image in mats]


serve("ncnn", prepare)
