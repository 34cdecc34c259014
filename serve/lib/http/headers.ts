// The headers of answers and requests that only this protocol has.

/** Bytes of the JSON before tensors, as they are before compression. */
export const jsonLengthHeader = "Inference-Header-Content-Length";

/** The shape of embeddings that are answered as bytes, such as "2,4096", or of a layer's output, such as "64,224,224". */
export const shapeHeader = "Tensor-Shape";

/** How long the stages of a request took, in ms, as browsers' tools show it. */
export const timingHeader = "Server-Timing";
