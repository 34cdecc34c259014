// Tensors of gRPC's messages: raw bytes or typed contents in, raw bytes out.
import { ServeError } from "../errors.js";
import { invalid } from "../protocol/expected.js";
import { checkDatatype, checkShape, elementsOf, readElements } from "../protocol/tensors.js";
import type { Datatype, InputTensor, Parameter } from "../protocol/types.js";
import type {
  InferParameter,
  InferTensorContents,
  ModelInferRequest,
  ModelInferRequest_InferInputTensor,
} from "./gen/grpc_service_pb.js";

type Field = Exclude<keyof InferTensorContents, "$typeName" | "$unknown">;

/** The field of the contents, and the array, for each datatype. FP16 and BF16 have no field: they come as raw bytes. */
const fields: Readonly<
  Partial<Record<Datatype, { field: Field; toArray(values: never[]): InputTensor["data"] }>>
> = {
  BOOL: { field: "boolContents", toArray: (values: boolean[]) => Uint8Array.from(values, Number) },
  INT8: { field: "intContents", toArray: (values: number[]) => Int8Array.from(values) },
  INT16: { field: "intContents", toArray: (values: number[]) => Int16Array.from(values) },
  INT32: { field: "intContents", toArray: (values: number[]) => Int32Array.from(values) },
  INT64: { field: "int64Contents", toArray: (values: bigint[]) => BigInt64Array.from(values) },
  UINT8: { field: "uintContents", toArray: (values: number[]) => Uint8Array.from(values) },
  UINT16: { field: "uintContents", toArray: (values: number[]) => Uint16Array.from(values) },
  UINT32: { field: "uintContents", toArray: (values: number[]) => Uint32Array.from(values) },
  UINT64: { field: "uint64Contents", toArray: (values: bigint[]) => BigUint64Array.from(values) },
  FP32: { field: "fp32Contents", toArray: (values: number[]) => Float32Array.from(values) },
  FP64: { field: "fp64Contents", toArray: (values: number[]) => Float64Array.from(values) },
  BYTES: { field: "bytesContents", toArray: (values: Uint8Array[]) => values },
};

/** Reads the inputs of a request. @throws {ServeError} INVALID, with the input's name */
export function readInputs(request: ModelInferRequest): InputTensor[] {
  const { inputs, rawInputContents: raw } = request;
  if (raw.length > 0 && raw.length !== inputs.length)
    throw invalid(`${inputs.length} items, one for each input,`, "raw_input_contents", raw.length);
  return inputs.map((input, index) => {
    const name = `the input ${JSON.stringify(input.name.slice(0, 64))}`;
    if (inputs.findIndex((other) => other.name === input.name) < index)
      throw new ServeError("INVALID", `Expected each input once but received ${name} twice`);
    const parameters = readParameters(input.parameters, name);
    const datatype = checkDatatype(input.datatype, `the datatype of ${name}`);
    const shape = checkShape(input.shape.map(Number), `the shape of ${name}`);
    const bytes = raw[index];
    if (bytes !== undefined && countOf(input.contents) > 0)
      throw new ServeError(
        "INVALID",
        `Expected no contents for ${name} because the request has raw_input_contents`,
      );
    const data =
      bytes === undefined
        ? readContents(input, datatype, shape, name)
        : readElements(datatype, shape, bytes, name);
    return { name: input.name, datatype, shape, data, parameters };
  });
}

function readContents(
  { contents }: ModelInferRequest_InferInputTensor,
  datatype: Datatype,
  shape: readonly number[],
  name: string,
): InputTensor["data"] {
  const known = fields[datatype];
  if (known === undefined)
    throw new ServeError("INVALID", `Expected ${datatype} of ${name} in raw_input_contents`);
  const { field, toArray } = known;
  const values = contents?.[field] ?? [];
  const count = elementsOf(shape, name);
  if (values.length !== count)
    throw invalid(
      `${count} elements, as the shape says,`,
      `${snake(field)} of ${name}`,
      values.length,
    );
  const data = toArray(values as never[]);
  // Only integers of 8 and 16 bits come in a wider field.
  if (field === "intContents" || field === "uintContents") {
    const wrong = (values as number[]).findIndex((value, index) => value !== data[index]);
    if (wrong >= 0) throw invalid(`${datatype} elements`, name, values[wrong]);
  }
  return data;
}

/** Returns the number of elements in all fields of the contents. */
function countOf(contents: InferTensorContents | undefined): number {
  if (contents === undefined) return 0;
  const names = new Set(Object.values(fields).map(({ field }) => field));
  return [...names].reduce((sum, name) => sum + contents[name].length, 0);
}

/** Reads the parameters of a request, an input or an output. @throws {ServeError} INVALID: it asks for shared memory */
export function readParameters(
  parameters: Readonly<Record<string, InferParameter>>,
  name: string,
): Record<string, Parameter> {
  const values: Record<string, Parameter> = Object.create(null);
  for (const [key, { parameterChoice }] of Object.entries(parameters)) {
    if (key.startsWith("shared_memory_"))
      throw new ServeError(
        "INVALID",
        `Expected the data of ${name} in the message: there is no shared memory`,
      );
    if (parameterChoice.value !== undefined) values[key] = parameterChoice.value;
  }
  return values;
}

/** Reads an integer of at least 0, which clients send as int64 or uint64. @throws {ServeError} INVALID */
export function readCount(value: Parameter | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const count = typeof value === "bigint" ? Number(value) : value;
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= 0) return count;
  throw invalid("an integer of at least 0", `the parameter ${name}`, value);
}

/** Writes a field's name as the .proto file does. */
function snake(field: Field): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
