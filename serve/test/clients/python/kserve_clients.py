# The calls of kserve: InferenceRESTClient and InferenceGRPCClient.
import asyncio

import httpx
import numpy as np
from common import emit, files, run, tensor
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc.grpc_predict_v2_pb2 import RepositoryModelLoadRequest
from kserve.protocol.infer_type import RequestedOutput


def image_request(paths):
    image = InferInput("image", [len(paths), 1], "BYTES")
    image.set_data_from_numpy(files(paths), binary_data=True)
    classes = RequestedOutput("probabilities", {"classification": 5, "binary_data": True})
    return InferRequest("vgg11", [image], request_outputs=[classes])


def tensor_request(x, binary):
    given = InferInput("input", [1, 3, 224, 224], "FP32")
    given.set_data_from_numpy(tensor(x), binary_data=binary)
    return InferRequest("vgg11", [given])


def emit_values(response, **more):
    values = response.outputs[0].as_numpy()
    emit(shape=list(values.shape), values=np.asarray(values).tolist(), **more)


async def call_rest(url, x, images):
    base = f"http://{url}"
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        live = await client.is_server_live(base)
        ready = await client.is_server_ready(base)
        emit(live=live, ready=ready, model=await client.is_model_ready(base, "vgg11"))
        emit_values(await client.infer(base, tensor_request(x, False), model_name="vgg11"))
        emit_values(await client.infer(base, tensor_request(x, True), model_name="vgg11"))
        found = await client.infer(base, image_request(images), model_name="vgg11")
        emit(classes=[str(one) for one in found.outputs[0].as_numpy().flatten()])
        try:
            await client.infer(base, image_request(images), model_name="nope")
        except httpx.HTTPStatusError as error:
            emit(error=type(error).__name__, status=error.response.status_code, text=str(error))


async def call_grpc(url, x, token):
    async with InferenceGRPCClient(url) as client:
        emit(
            live=await client.is_server_live(),
            ready=await client.is_server_ready(),
            model=await client.is_model_ready("vgg11"),
        )
        emit_values(await client.infer(tensor_request(x, False)), raw=False)
        emit_values(await client.infer(tensor_request(x, True)), raw=True)
        # The package has the call and no method for it.
        loaded = await client._client_stub.RepositoryModelLoad(
            RepositoryModelLoadRequest(model_name="small"),
            metadata=[("authorization", f"Bearer {token}")],
        )
        emit(model=loaded.model_name, loaded=loaded.isLoaded)


run(
    {
        "rest": lambda **given: asyncio.run(call_rest(**given)),
        "grpc": lambda **given: asyncio.run(call_grpc(**given)),
    }
)
