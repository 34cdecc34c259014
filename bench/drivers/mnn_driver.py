# The driver of MNN: a session on the CPU. "high" is float32, "low" lets MNN choose a smaller type.
from driver import load, np, options, serve

MNN = load("MNN")
settings = {"backend": "CPU", "numThread": options["threads"], **options["settings"]}
interpreter = MNN.Interpreter(options["model"])
session = interpreter.createSession(settings)


def tensor(array):
    return MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)


def prepare(images):
    given = interpreter.getSessionInput(session)
    interpreter.resizeTensor(given, images.shape)
    interpreter.resizeSession(session)
    logits = np.empty((len(images), options["classes"]), np.float32)
    source, target = tensor(images), tensor(logits)

    def forward():
        given.copyFrom(source)
        interpreter.runSession(session)
        interpreter.getSessionOutput(session).copyToHostTensor(target)
        return np.array(target.getNumpyData())

    return forward


serve("MNN", prepare)
