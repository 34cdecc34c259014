// The schema of the options: what `config.schema.json` is made from, and what every option is checked by.
import { architectures } from "vgg-cudnn";
import { z } from "zod";
import type { ServeOptions } from "./options.js";

/** Each check's message is what was expected, for a sentence of the form: Expected … for NAME but received … */
export const text = (expected: string) => z.string({ error: expected }).min(1, { error: expected });
const flag = z.boolean({ error: "true or false" });
export const integer = (min: number, max: number, what = "an integer") => {
  const error = `${what} from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
export const oneOf = <const Values extends readonly string[]>(values: Values) =>
  z.enum(values, { error: `one of ${values.join(", ")}` });
export const bytes = integer(1, Number.MAX_SAFE_INTEGER, "an integer of bytes");
export const milliseconds = integer(1, 2 ** 31 - 1, "an integer of ms");
const off = z.literal(false);
export const object = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, { error: "an object" });

const texts = (what: string) => z.array(text(what), { error: `a list with ${what} as each entry` });

const device = z
  .string({ error: "a device" })
  .regex(/^(auto|cpu|cuda(:\d{1,3})?)$/, { error: '"auto", "cpu", "cuda" or "cuda:N"' });

const batching = object({
  maxBatchSize: integer(1, 4096).optional(),
  maxQueueSize: integer(1, 2 ** 31 - 1).optional(),
  maxQueueBytes: bytes.optional(),
});

const numbers = z.array(z.number(), { error: "a list with a number for each channel" });
const preprocess = object({
  mean: numbers.optional(),
  std: numbers.optional(),
  resize: z
    .union([z.int(), z.literal("squash")], { error: 'an integer of pixels, or "squash"' })
    .optional(),
  crop: integer(32, 16_384).optional(),
  interpolation: oneOf(["bilinear", "bicubic", "nearest", "lanczos", "box"]).optional(),
  channels: z.union([z.literal(1), z.literal(3)], { error: "1 or 3" }).optional(),
  orientation: flag.optional(),
});

const version = z
  .string({ error: "the number of a version, as a text" })
  .regex(/^[1-9]\d{0,17}$/, { error: "the number of a version, as a text" });

export const model = object({
  weights: text("a file or folder of weights"),
  arch: oneOf(architectures).optional(),
  key: text("the name of a state dict").optional(),
  prefix: z.string({ error: "a text" }).optional(),
  imageSize: integer(32, 16_384, "an integer of pixels").optional(),
  preprocess: preprocess.optional(),
  labels: z
    .union([text("a file"), texts("a name")], { error: "a file, or a list of names" })
    .optional(),
  precision: oneOf(["float32", "tf32", "float16", "bfloat16"]).optional(),
  devices: z.array(device).min(1, { error: "at least one device" }).optional(),
  threads: integer(1, 1024).optional(),
  plans: text("a folder of plans").optional(),
  fallback: oneOf(["cpu"]).optional(),
  versions: z
    .union([z.literal("latest"), z.literal("all"), z.array(version).min(1)], {
      error: '"latest", "all", or a list of numbers as texts',
    })
    .optional(),
  input: oneOf(["image", "pixels", "tensor"]).optional(),
  batching: z.union([off, batching], { error: "false or an object" }).optional(),
  timeoutMs: milliseconds.optional(),
  reload: oneOf(["beside", "replace"]).optional(),
  warmup: flag.optional(),
});

const modelName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, {
  error: "a name of letters, digits, dots, hyphens and underscores",
});

const listen = z
  .union(
    [
      off,
      object({
        host: text("a host name or address").optional(),
        port: integer(0, 65_535).optional(),
        tls: object({
          key: text("a key in PEM, or its file"),
          cert: text("a certificate in PEM, or its file"),
          ca: text("certificates in PEM, or their file").optional(),
        }).optional(),
      }),
    ],
    { error: "false or an object" },
  )
  .optional();

const token = z
  .string({ error: '"sha256:" and 64 hexadecimal digits' })
  .regex(/^sha256:[0-9a-fA-F]{64}$/, { error: '"sha256:" and 64 hexadecimal digits' });
const tokens = z.array(token, { error: "a list of tokens" }).optional();

export const log = object({
  level: oneOf(["info", "warn", "error"]).optional(),
  file: text("a file").optional(),
  maxBytes: bytes.optional(),
}).optional();

/** Everything but `logger`, which no file can have. */
export const optionsSchema = object({
  $schema: z.string().optional(),
  models: z
    .record(modelName, model, { error: "an object with a model for each name" })
    .refine((models) => Object.keys(models).length > 0, { error: "at least one model" }),
  http: listen,
  grpc: listen,
  metrics: listen,
  page: flag.optional(),
  access: object({
    tokens,
    admin: tokens,
    groups: object({
      health: tokens,
      metadata: tokens,
      inference: tokens,
      "model-config": tokens,
      statistics: tokens,
      "model-repository": tokens,
    }).optional(),
    requestsPerSecond: z
      .number({ error: "a number above 0" })
      .positive({ error: "a number above 0" })
      .optional(),
  }).optional(),
  limits: object({
    bodyBytes: bytes.optional(),
    heldBytes: bytes.optional(),
    jsonTensorBytes: bytes.optional(),
    outputBytes: bytes.optional(),
    maxPixels: integer(1, 2 ** 31 - 1).optional(),
    imagesPerRequest: integer(1, 4096).optional(),
    connections: integer(1, 1_000_000).optional(),
    bodyMs: milliseconds.optional(),
  }).optional(),
  log,
  drainMs: integer(0, 2 ** 31 - 1, "an integer of ms").optional(),
  shutdownMs: integer(0, 2 ** 31 - 1, "an integer of ms").optional(),
});

/** The options that a file can have. The types of options.ts and the schema must agree. */
export type FileOptions = Omit<ServeOptions, "logger">;
export type Checked =
  z.output<typeof optionsSchema> extends FileOptions ? z.output<typeof optionsSchema> : never;
