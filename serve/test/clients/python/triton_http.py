# The calls of tritonclient.http.
import http.client
import time
from concurrent.futures import ThreadPoolExecutor

import tritonclient.http as triton
from common import emit, files, raised, run, tensor, texts
from tritonclient.utils import InferenceServerException


def image_input(paths, shape=None):
    data = files(paths, shape)
    image = triton.InferInput("image", list(data.shape), "BYTES")
    image.set_data_from_numpy(data, binary_data=True)
    return image


def tensor_input(path, images=1, binary=True):
    data = tensor(path, images)
    given = triton.InferInput("input", list(data.shape), "FP32")
    given.set_data_from_numpy(data, binary_data=binary)
    return given


def classes(top=5):
    return triton.InferRequestedOutput("probabilities", binary_data=True, class_count=top)


def health(url):
    client = triton.InferenceServerClient(url)
    ready = [client.is_model_ready(*of) for of in (["vgg11"], ["vgg11", "1"], ["nope"])]
    emit(live=client.is_server_live(), ready=client.is_server_ready(), models=ready)


def metadata(url):
    emit(**triton.InferenceServerClient(url).get_server_metadata())


def model(url):
    client = triton.InferenceServerClient(url)
    unknown = raised(InferenceServerException, lambda: client.get_model_metadata("nope"))
    emit(
        metadata=client.get_model_metadata("vgg11"),
        config=client.get_model_config("vgg11"),
        unknown=unknown,
    )


def classify(url, images, shape=None, compression=None):
    """The five best classes. `compression` packs the request and the answer."""
    client = triton.InferenceServerClient(url)
    result = client.infer(
        "vgg11",
        [image_input(images, shape)],
        outputs=[classes()],
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    found = result.as_numpy("probabilities")
    emit(shape=found.shape, classes=texts(found))


def probabilities(url, x, binary):
    """Bytes without a named output, or JSON both ways."""
    client = triton.InferenceServerClient(url)
    asked = None if binary else [triton.InferRequestedOutput("probabilities", binary_data=False)]
    result = client.infer("vgg11", [tensor_input(x, binary=binary)], outputs=asked)
    output = result.get_output("probabilities")
    values = result.as_numpy("probabilities").tolist()
    output.pop("data", None)
    emit(output=output, values=values)


def layers(url, x, names, folder):
    """Writes each output into a file, because they are large."""
    client = triton.InferenceServerClient(url)
    asked = [triton.InferRequestedOutput(name, binary_data=True) for name in names]
    result = client.infer("vgg11", [tensor_input(x)], outputs=asked)
    for name in names:
        values = result.as_numpy(name)
        values.tofile(f"{folder}/{name}")
        emit(name=name, shape=values.shape, dtype=str(values.dtype))


def large(url, x, images):
    client = triton.InferenceServerClient(url, network_timeout=60)
    result = client.infer("vgg11", [tensor_input(x, images)])
    values = result.as_numpy("probabilities")
    emit(shape=values.shape, rows=[row[:8].tolist() for row in values])


def bad(url, images, text, x):
    """Wrong requests, each made of a right one of the client, on one connection. Then a right one."""
    right = triton.InferenceServerClient.generate_request_body
    body, length = right([image_input(images)], outputs=[classes()])
    json_length = int(length)
    plain, _ = right([tensor_input(x, binary=False)])
    size = len(body) - json_length

    def binary_size(change):
        """The body with another binary_data_size, which its JSON has once."""
        changed = body.replace(b'"binary_data_size":%d' % size, b'"binary_data_size":%d' % change)
        assert changed != body
        return changed, json_length + len(changed) - len(body)

    unknown = triton.InferRequestedOutput("nope", binary_data=True)
    requests = {
        "shape": (plain.replace(b"[1,3,224,224]", b"[1,3,224,223]"), None),
        "channels": (plain.replace(b"[1,3,224,224]", b"[1,1,224,672]"), None),
        "size": binary_size(size - 10),
        "left over": (body + b"0123456789", json_length),
        "output": right([image_input(images)], outputs=[unknown]),
        "text": right([image_input([text])], outputs=[classes()]),
        "right": (body, json_length),
    }
    host, port = url.split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.connect()
    local = connection.sock.getsockname()
    for name, (content, content_length) in requests.items():
        headers = {"Inference-Header-Content-Length": str(content_length)} if content_length else {}
        connection.request("POST", "/v2/models/vgg11/infer", content, headers)
        answer = connection.getresponse()
        received = answer.read()
        is_same = connection.sock is not None and connection.sock.getsockname() == local
        message = received.decode(errors="replace") if answer.status >= 400 else ""
        emit(name=name, status=answer.status, body=message, same=is_same)


def leave(url, images, seconds):
    """Leaves a busy server after a time."""
    client = triton.InferenceServerClient(url, network_timeout=seconds)
    start = time.monotonic()
    try:
        client.infer("vgg11", [image_input(images)], outputs=[classes()])
    except (InferenceServerException, OSError) as error:
        emit(error=type(error).__name__, text=str(error), seconds=time.monotonic() - start)


def many(url, images, callers):
    """Each image in a call of its own, by `callers` threads that each have a client. `async_infer` sends at most 100 calls a second."""

    def work(caller):
        client = triton.InferenceServerClient(url, network_timeout=60)
        found = []
        for index in range(caller, len(images), callers):
            result = client.infer("small", [image_input([images[index]])], outputs=[classes(1)])
            found.append((index, texts(result.as_numpy("probabilities"))))
        return found

    # The result of a caller that failed raises its error.
    with ThreadPoolExecutor(callers) as pool:
        results = list(pool.map(work, range(callers)))
    for index, one in (pair for found in results for pair in found):
        emit(index=index, classes=one)


run(
    {
        "health": health,
        "metadata": metadata,
        "model": model,
        "classify": classify,
        "probabilities": probabilities,
        "layers": layers,
        "large": large,
        "bad": bad,
        "leave": leave,
        "many": many,
    }
)
