// What a request and an answer are inside the server, whether they came over REST or gRPC.

/** The datatypes of the Open Inference Protocol, and Triton's BF16. */
export type Datatype =
  | "BOOL"
  | "UINT8"
  | "UINT16"
  | "UINT32"
  | "UINT64"
  | "INT8"
  | "INT16"
  | "INT32"
  | "INT64"
  | "FP16"
  | "BF16"
  | "FP32"
  | "FP64"
  | "BYTES";

/** The elements of a tensor in row-major order. FP16 and BF16 are given as their bits, BOOL as 0 or 1. */
export type NumericArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/** The value of a parameter of a request, an input or an output. */
export type Parameter = string | number | bigint | boolean;

/** One input of a request. */
export interface InputTensor {
  /** The input that the client names, such as "image". */
  readonly name: string;
  readonly datatype: Datatype;
  /** The first dimension is the number of images. */
  readonly shape: readonly number[];
  /** The elements; for BYTES one array for each element. */
  readonly data: NumericArray | readonly Uint8Array[];
  /** The parameters that the front end has not used up. */
  readonly parameters: Readonly<Record<string, Parameter>>;
}

/** An output that the client asks for. */
export interface RequestedOutput {
  readonly name: string;
  /** The number of best classes to return as text, at least 1. Undefined: the values themselves. */
  readonly classification?: number | undefined;
}

/** What every request for work says. */
export interface RequestTerms {
  /** 0: the default level. Otherwise 1 is the first level to run, as in Triton's schedule policy. */
  readonly priority: number;
  /** The time from the arrival until the client has no more use for the answer, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** Who asks: a token's name, or else an address. Clients share the device fairly. */
  readonly client: string;
  /** Fires when the client has left. */
  readonly signal: AbortSignal;
  /** Is told how long the stages took, when the request has succeeded. */
  readonly onTimes?: ((times: StageTimes) => void) | undefined;
  /** What logs and traces say about the request besides. */
  readonly origin?: RequestOrigin | undefined;
}

/** How long the stages of a request took, in milliseconds. Of parts that ran apart, the longest counts. */
export interface StageTimes {
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly runMs: number;
}

/** What only the front end knows about a request. */
export interface RequestOrigin {
  readonly protocol: "http" | "grpc";
  /** The bytes of the body or message, as they came. */
  readonly bytes: number;
  /** The header of W3C's Trace Context. */
  readonly traceparent?: string | undefined;
}

/** A request to infer, from either front end. */
export interface InferRequest extends RequestTerms {
  readonly model: string;
  /** Undefined: the newest version. */
  readonly version?: string | undefined;
  /** Comes back in the answer. */
  readonly id?: string | undefined;
  readonly inputs: readonly InputTensor[];
  /** Empty: the outputs that the model's metadata lists. */
  readonly outputs: readonly RequestedOutput[];
}

/** One output of an answer. */
export interface OutputTensor {
  readonly name: string;
  readonly datatype: "FP32" | "BYTES";
  readonly shape: readonly number[];
  /** The elements in row-major order; for BYTES one array for each element. */
  readonly data: Float32Array | readonly Uint8Array[];
}

/** The answer to an `InferRequest`. */
export interface InferResponse {
  readonly model: string;
  readonly version: string;
  readonly id?: string | undefined;
  readonly outputs: readonly OutputTensor[];
}

/** Images to classify or embed. */
export interface ImagesRequest extends RequestTerms {
  /** Undefined: the only model, if there is one. */
  readonly model?: string | undefined;
  readonly version?: string | undefined;
  /** The files' bytes, such as a JPEG. */
  readonly images: readonly Uint8Array[];
}
