# The calls of tritonclient.grpc.
import queue
import threading
import time

import tritonclient.grpc as triton
from common import emit, files, raised, run, tensor, texts
from tritonclient.utils import InferenceServerException


def image_input(paths, shape=None):
    data = files(paths, shape)
    image = triton.InferInput("image", list(data.shape), "BYTES")
    image.set_data_from_numpy(data)
    return image


def tensor_input(path, images=1):
    data = tensor(path, images)
    given = triton.InferInput("input", list(data.shape), "FP32")
    given.set_data_from_numpy(data)
    return given


def classes(top=5):
    return triton.InferRequestedOutput("probabilities", class_count=top)


def facts(url, images):
    """What the server says of itself and of the model, and the best classes of an image."""
    client = triton.InferenceServerClient(url)
    ready = [client.is_model_ready(*of) for of in (["vgg11"], ["vgg11", "1"], ["nope"])]
    emit(live=client.is_server_live(), ready=client.is_server_ready(), models=ready)
    emit(**client.get_server_metadata(as_json=True))
    unknown = raised(InferenceServerException, lambda: client.get_model_metadata("nope"))
    emit(
        metadata=client.get_model_metadata("vgg11", as_json=True),
        config=client.get_model_config("vgg11", as_json=True)["config"],
        unknown=unknown,
    )
    result = client.infer("vgg11", [image_input(images)], outputs=[classes()])
    emit(classes=texts(result.as_numpy("probabilities")))
    emit(**client.get_inference_statistics("vgg11", as_json=True))
    emit(**client.get_model_repository_index(as_json=True))


def large(url, x, images):
    result = triton.InferenceServerClient(url).infer("vgg11", [tensor_input(x, images)])
    values = result.as_numpy("probabilities")
    emit(shape=values.shape, rows=[row[:8].tolist() for row in values])


def late(url, images):
    """A deadline of 1 µs, and the first priority."""
    client = triton.InferenceServerClient(url)
    ask = lambda: client.infer("vgg11", [image_input(images)], priority=1, timeout=1)
    emit(**raised(InferenceServerException, ask))


def leave(url, images):
    """A call that is canceled while it waits, and two whose deadlines pass: one soon, one while it waits."""
    client = triton.InferenceServerClient(url)
    ended = queue.Queue()

    def done(result, error):
        ended.put({"status": error.status() if error else None, "message": str(error)})

    call = client.async_infer("vgg11", [image_input(images)], done)
    time.sleep(0.1)
    call.cancel()
    emit(**ended.get())
    for seconds in (0.001, 0.1):
        ask = lambda: client.infer("vgg11", [image_input(images)], client_timeout=seconds)
        emit(**raised(InferenceServerException, ask))


def stream(url, images):
    """Three good requests and one of an unknown model before the last; then one more shows that the stream is open."""
    client = triton.InferenceServerClient(url)
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    ask = lambda model, path: client.async_stream_infer(
        model, [image_input([path])], outputs=[classes()], request_id=f"{model} {path}"
    )

    def take():
        result, error = answers.get(timeout=60)
        if error:
            return emit(error=error.message())
        found = texts(result.as_numpy("probabilities"))
        emit(id=result.get_response().id, classes=found)

    ask("vgg11", images[0])
    ask("vgg11", images[1])
    ask("nope", images[0])
    ask("vgg11", images[2])
    for _ in range(4):
        take()
    ask("vgg11", images[0])
    take()
    client.stop_stream()


def many(url, images, callers):
    """Each image in a call of its own, `callers` at the same time on one connection. The answers come in any order."""
    client = triton.InferenceServerClient(url)
    answers = queue.Queue()
    free = threading.Semaphore(callers)

    def ask(index, path):
        def done(result, error):
            free.release()
            answers.put((index, result, error))

        client.async_infer("small", [image_input([path])], done, outputs=[classes(1)])

    for index, path in enumerate(images):
        free.acquire()
        ask(index, path)
    for _ in images:
        index, result, error = answers.get(timeout=60)
        if error:
            raise error
        emit(index=index, classes=texts(result.as_numpy("probabilities")))


def loop(url, images, callers):
    """Calls again and again until a call fails, because the server has ended. Prints what the callers saw."""
    counts = {"ok": 0}
    failures = []
    lock = threading.Lock()

    def work(path):
        client = triton.InferenceServerClient(url)
        while True:
            try:
                client.infer("small", [image_input([path])], outputs=[classes(1)])
                with lock:
                    counts["ok"] += 1
            except InferenceServerException as error:
                with lock:
                    failures.append([time.time(), error.status(), error.message()])
                return

    threads = [threading.Thread(target=work, args=[images[i % len(images)]]) for i in range(callers)]
    for thread in threads:
        thread.start()
    emit(started=True)
    for thread in threads:
        thread.join()
    emit(**counts, failures=failures)


run(
    {
        "facts": facts,
        "large": large,
        "late": late,
        "leave": leave,
        "stream": stream,
        "many": many,
        "loop": loop,
    }
)
