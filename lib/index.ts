// The public names of the package, and nothing else.
/// <reference types="node" preserve="true" />

export type { BatchingReport } from "./batch/batcher.js";
export type { BatchingOptions, CallTiming, QueueOptions } from "./batch/options.js";
export type { ReadOptions } from "./checkpoint/checkpoint.js";
export { readCheckpoint } from "./checkpoint/open.js";
export { type WriteOptions, writeSafetensors } from "./checkpoint/safetensors.js";
export {
  Device,
  type DeviceId,
  type DeviceOptions,
  DeviceTensor,
  type MemoryStats,
  openDevice,
} from "./device/device.js";
export {
  type DeviceInfo,
  type Diagnosis,
  diagnose,
  listDevices,
} from "./device/diagnosis.js";
export type { Progress } from "./download/download.js";
export type { PullOptions } from "./download/hub.js";
export type { DType, Precision, TensorData } from "./dtype.js";
export { type ErrorCode, errorCodes, VggError } from "./errors.js";
export { GraphBuilder } from "./graph/builder.js";
export type { RunOptions } from "./graph/call.js";
export { Graph } from "./graph/graph.js";
export type { GraphRecord, Row } from "./graph/ops.js";
export { ParameterStore } from "./graph/parameter-store.js";
export type { GraphProfile, ProfileOptions, StepProfile } from "./graph/profile.js";
export { ParameterValue, Value } from "./graph/value.js";
export type { ReadingOptions } from "./image/crop.js";
export type { Interpolation } from "./image/interpolation.js";
export type { BlobLike, BodyLike, ImageDataLike, PixelsLike, RawPixels } from "./image/objects.js";
export { type PreprocessOptions, preprocess } from "./image/preprocess.js";
export type { Preprocessing, PreprocessingOptions } from "./image/preprocessing.js";
export type { ImageSource } from "./image/source.js";
export type { PerceptualResize } from "./perceptual/pairs.js";
export {
  type DistanceOf,
  type PerceptualDistance,
  type PerceptualOptions,
  perceptualDistance,
} from "./perceptual/perceptual-distance.js";
export { type AnyTensor, Tensor, type TensorConstructor } from "./tensor.js";
export { version } from "./version.js";
export type { Classification, Prediction } from "./vgg/images/classify.js";
export type { Embedding, EmbedOptions } from "./vgg/images/embed.js";
export type { ImageMethods } from "./vgg/images/image-methods.js";
export { type KnownWeights, knownWeights, listWeights, pullWeights } from "./vgg/known-weights.js";
export { readLabels } from "./vgg/label-file.js";
export { imagenetLabels } from "./vgg/labels.js";
export type { LayerName } from "./vgg/layers.js";
export { Vgg } from "./vgg/model.js";
export type { NamedParameters } from "./vgg/named-parameters.js";
export type {
  ClassifyOptions,
  ClassNames,
  CreateOptions,
  ForwardOptions,
  LayerOptions,
  LoadOptions,
  LoadReport,
  VggOptions,
} from "./vgg/options.js";
export type { ParameterInfo } from "./vgg/parameters.js";
export type { LayerProfile } from "./vgg/profile.js";
export type { StateDict, StateDictDifference } from "./vgg/state-dict.js";
export type { LayerSummary, Summary } from "./vgg/summary.js";
export { type Architecture, architectures, type TopologyOptions } from "./vgg/topology.js";
