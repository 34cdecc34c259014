// What the server can be told, by a program or a configuration file: types and their documentation.
import type { Precision, PreprocessingOptions } from "vgg-cudnn";
import type { ApiGroup } from "../access/tokens.js";

/** Options of `serve`, `createApp` and `createHandler`. All but `logger` may come from a configuration file. */
export interface ServeOptions {
  /** The models by the names that clients use. */
  readonly models: Readonly<Record<string, ModelOptions>>;
  /** REST. Default: port 8000 of the loopback interface. false: none. */
  readonly http?: false | ListenOptions | undefined;
  /** gRPC. Default: port 8001 of the loopback interface. false: none. */
  readonly grpc?: false | ListenOptions | undefined;
  /** Prometheus. Default: port 8002 of the loopback interface. false: none. */
  readonly metrics?: false | ListenOptions | undefined;
  /** Whether the page for browsers is served at `/` beside REST. Default true; of createApp and createHandler false. */
  readonly page?: boolean | undefined;
  /** Who may call, and how often. Default: everybody, but nobody can load or unload models. */
  readonly access?: AccessOptions | undefined;
  /** Bounds of what clients can use up. Default: as `LimitOptions` says. */
  readonly limits?: LimitOptions | undefined;
  /** Where the log goes. Default: standard output. */
  readonly log?: LogOptions | undefined;
  /** A logger with pino's methods, instead of `log`. */
  readonly logger?: LoggerLike | undefined;
  /**
   * How long in ms the server goes on serving after a shutdown was asked for, while it says that it is not ready.
   * Default 5000.
   */
  readonly drainMs?: number | undefined;
  /** How long in ms requests may then still take. Default 30,000. */
  readonly shutdownMs?: number | undefined;
}

/** One model of the server. */
export interface ModelOptions {
  /**
   * A file of weights; a folder with one; a folder of numbered folders, one for each version, each with one; or a name of
   * published weights, such as "DEFAULT", beside `arch`.
   */
  readonly weights: string;
  /** The architecture. Default: the file's; of published weights the model's name if it is one, otherwise "vgg11". */
  readonly arch?: string | undefined;
  /** Which dictionary of a checkpoint with several is read, such as "state_dict". Default: the only possible one. */
  readonly key?: string | undefined;
  /** Considers only names that begin with this, such as "student.", in a file with several networks. Default: all names. */
  readonly prefix?: string | undefined;
  /** The side of the square image that the network takes, in pixels. Default: the file's, or 224. */
  readonly imageSize?: number | undefined;
  /** How images become the network's input. Default: the file's, otherwise as for torchvision's weights. */
  readonly preprocess?: PreprocessingOptions | undefined;
  /** The names of the classes, or a file of them. Default: the weights' own, or ImageNet's if there are 1000. */
  readonly labels?: string | readonly string[] | undefined;
  /** Default "float32". */
  readonly precision?: Precision | undefined;
  /** The devices, each with the whole model. Default ["auto"]: a GPU that works, otherwise the CPU. */
  readonly devices?: readonly string[] | undefined;
  /** Threads of the CPU. Default: one for each core that the process may use. */
  readonly threads?: number | undefined;
  /** A folder of plans and kernels that `vgg plan --out` made. */
  readonly plans?: string | undefined;
  /** "cpu": if no device of the model works any more, it runs on the CPU. Default: the server ends. */
  readonly fallback?: "cpu" | undefined;
  /** Which numbered folders are served. Default "latest": the greatest number. */
  readonly versions?: "latest" | "all" | readonly string[] | undefined;
  /** The input that the metadata lists. The others are accepted too. Default "image". */
  readonly input?: "image" | "pixels" | "tensor" | undefined;
  /** How shared runs form; as the option of `Vgg.load`. */
  readonly batching?: false | BatchingOptions | undefined;
  /** The deadline of a request that sets none, in ms. Default: none. */
  readonly timeoutMs?: number | undefined;
  /**
   * "beside": a reload needs memory for both, and no request waits. "replace": the old model goes first, and the model
   * is not ready until the load has ended. Default "beside".
   */
  readonly reload?: "beside" | "replace" | undefined;
  /** Whether the model runs once in each batch size before it is ready. Default true. */
  readonly warmup?: boolean | undefined;
}

/** How shared runs form. */
export interface BatchingOptions {
  /** The most images of one run. Default 16 on a CPU and 64 on a GPU. */
  readonly maxBatchSize?: number | undefined;
  /** The most images that may be decoded and wait. Default: what the device computes in 2 s, at least 128. */
  readonly maxQueueSize?: number | undefined;
  /** The most bytes of these images, encoded and decoded. Default 256 MiB. */
  readonly maxQueueBytes?: number | undefined;
}

/** Where a protocol is served. */
export interface ListenOptions {
  /** Default "127.0.0.1". "0.0.0.0" and "::" are all interfaces. */
  readonly host?: string | undefined;
  /** 0: any free port. */
  readonly port?: number | undefined;
  /** TLS, with PEM texts or the names of their files. Default: none. */
  readonly tls?:
    | {
        /** The key. */
        readonly key: string;
        /** Its certificate, with those between it and its authority. */
        readonly cert: string;
        /** Asks clients for certificates of these authorities. */
        readonly ca?: string | undefined;
      }
    | undefined;
}

/** Who may call. A token is given as "sha256:" and the digest in hexadecimal, never itself. */
export interface AccessOptions {
  /** Open all calls but the repository's. Default: these calls need no token. */
  readonly tokens?: readonly string[] | undefined;
  /** Open all calls. */
  readonly admin?: readonly string[] | undefined;
  /** The tokens of single groups of calls, instead of `tokens`. */
  readonly groups?: { readonly [Group in ApiGroup]?: readonly string[] | undefined } | undefined;
  /** Calls of one client in a second. Default: no limit. */
  readonly requestsPerSecond?: number | undefined;
}

/** Bounds of what clients can use up. */
export interface LimitOptions {
  /** Bytes of a body or message, as it comes and unpacked. Default 64 MiB. */
  readonly bodyBytes?: number | undefined;
  /** Bytes of all bodies or messages at one time, for each protocol. Default 512 MiB. */
  readonly heldBytes?: number | undefined;
  /** Bytes of JSON in a body. Default 8 MiB. */
  readonly jsonTensorBytes?: number | undefined;
  /** Bytes of the outputs of one request. Default 64 MiB. */
  readonly outputBytes?: number | undefined;
  /** Pixels of an image. Default: the library's 178,956,970. */
  readonly maxPixels?: number | undefined;
  /** Images of one request. Default 256. */
  readonly imagesPerRequest?: number | undefined;
  /** Connections of each protocol. Default 1024. */
  readonly connections?: number | undefined;
  /** How long in ms a body may take to arrive. Default 60,000. */
  readonly bodyMs?: number | undefined;
}

/** The log: one line of JSON for each request and event. */
export interface LogOptions {
  /** The least level that is written. "warn" skips requests that succeed. Default "info". */
  readonly level?: "info" | "warn" | "error" | undefined;
  /** A file. Default: standard output. */
  readonly file?: string | undefined;
  /** Bytes after which the file is renamed to FILE.1 and a new one begins. Default 100 MiB. */
  readonly maxBytes?: number | undefined;
}

/** The methods that the server calls. */
export interface LoggerLike {
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
}
