// The headers of answers and requests that only this protocol has.

/** Bytes of the JSON before tensors, as they are before compression. */
export const jsonLengthHeader = "Inference-Header-Content-Length";

/** The shape of embeddings that are answered as bytes, such as "2,4096". */
export const shapeHeader = "Tensor-Shape";
