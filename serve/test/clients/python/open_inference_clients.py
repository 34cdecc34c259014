# The calls of open-inference-openapi and open-inference-grpc.
import numpy as np
from common import emit, run, tensor


def rest(url, x):
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.types import InferenceRequest, RequestInput, TensorData

    client = OpenInferenceClient(base_url=f"http://{url}")
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("vgg11")
    server = client.read_server_metadata()
    model = client.read_model_metadata("vgg11")
    emit(
        server=[server.name, server.version],
        model=model.name,
        inputs=[[one.name, one.datatype, one.shape] for one in model.inputs],
    )
    data = TensorData.parse_obj(tensor(x).flatten().tolist())
    given = RequestInput(name="input", shape=[1, 3, 224, 224], datatype="FP32", data=data)
    answer = client.model_infer("vgg11", request=InferenceRequest(id="7", inputs=[given]))
    output = answer.outputs[0]
    emit(id=answer.id, name=output.name, shape=output.shape, values=output.data.__root__)


def grpc(url, x):
    from grpc import insecure_channel
    from open_inference.grpc import protocol
    from open_inference.grpc.service import GRPCInferenceServiceStub

    with insecure_channel(url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        live = stub.ServerLive(protocol.ServerLiveRequest()).live
        ready = stub.ServerReady(protocol.ServerReadyRequest()).ready
        server = stub.ServerMetadata(protocol.ServerMetadataRequest())
        model = stub.ModelMetadata(protocol.ModelMetadataRequest(name="vgg11"))
        emit(
            live=live,
            ready=ready,
            server=[server.name, server.version],
            model=model.name,
            inputs=[[one.name, one.datatype, list(one.shape)] for one in model.inputs],
        )
        request = protocol.ModelInferRequest(model_name="vgg11", id="7")
        given = request.inputs.add(name="input", datatype="FP32", shape=[1, 3, 224, 224])
        given.contents.fp32_contents.extend(tensor(x).flatten().tolist())
        answer = stub.ModelInfer(request)
        output = answer.outputs[0]
        values = np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()
        emit(id=answer.id, name=output.name, shape=list(output.shape), values=values)


run({"rest": rest, "grpc": grpc})
