# The driver of OpenVINO: one infer request in float32, tuned for latency, with shapes fixed before compilation.
from driver import load, options, serve

ov = load("openvino")
core = ov.Core()


def prepare(images):
    model = core.read_model(options["model"])
    model.reshape(images.shape)
    settings = {
        "INFERENCE_NUM_THREADS": options["threads"],
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(images, shared_memory=True))

    def forward():
        request.infer()
        return request.get_output_tensor().data

    return forward


serve("openvino", prepare)
