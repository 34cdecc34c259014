// The log: one line of JSON for each request, and a few about the server itself.
import { type Logger, pino } from "pino";
import type { InferenceRecord } from "../engine/types.js";
import { LogFile } from "./log-file.js";
import { parseTraceparent } from "./traceparent.js";

/** What a team's own logger must have: pino, and most others, do. */
export interface LogTarget {
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
}

export interface LogSettings {
  /** A path; the default is standard output. */
  readonly file?: string | undefined;
  /** Bytes after which the file is renamed to FILE.1 and a new one is begun; the default is 100 MiB. */
  readonly maxBytes?: number | undefined;
  /** The least level that is written; the default is "info". "warn" writes failed requests only. */
  readonly level?: "info" | "warn" | "error" | undefined;
}

/** A log that is open. */
export interface Log extends LogTarget {
  /** Lines that could not be written. */
  readonly droppedLines: number;
  /** Writes what waits, and closes the file. */
  close(): Promise<void>;
}

/** Longer strings are cut: a client chooses its ids, and an error may quote its input. */
const maxText = 256;

const maxWaitingBytes = 4 << 20;

/**
 * Opens the log. It never throws or blocks later: what cannot be written is dropped and counted.
 * @throws the system's error if the file cannot be opened
 * @example
 * const log = openLog({ file: "/var/log/vgg/requests.ndjson" });
 * log.info({ port: 8000 }, "listening");
 * await log.close();
 */
export function openLog(settings: LogSettings = {}): Log {
  const file = new LogFile({
    destination: settings.file ?? 1,
    maxBytes: settings.maxBytes ?? 100 << 20,
    maxWaitingBytes,
    onProblem: (message) => process.stderr.write(`${message}\n`),
  });
  const logger: Logger = pino(
    {
      level: settings.level ?? "info",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // An error is written with its cause and stack: the log is the operator's.
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    file,
  );
  return {
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    get droppedLines() {
      return file.droppedLines;
    },
    close: () => file.close(),
  };
}

/** Writes the line of one request. It has no pixels, no tokens and no names of files. */
export function logRequest(log: LogTarget, record: InferenceRecord): void {
  const fields = {
    kind: record.kind,
    protocol: record.protocol,
    status: record.status,
    outcome: record.outcome,
    id: cut(record.id),
    traceId: parseTraceparent(record.traceparent)?.traceId,
    model: cut(record.model),
    version: cut(record.version),
    images: record.images,
    batchSizes: record.runs.slice(0, 16).map((run) => run.batchSize),
    totalMs: rounded(record.totalMs),
    decodeMs: rounded(record.decodeMs),
    queueMs: rounded(record.queueMs),
    runMs: rounded(record.runMs),
    bytes: record.bytes,
    client: cut(record.client),
    reason: cut(record.message),
  };
  // A defect is for the operator; a refusal is worth a warning; what a client did wrong or stopped is ordinary.
  if (record.status === 500) log.error(fields);
  else if (record.status > 500) log.warn(fields);
  else log.info(fields);
}

function cut(text: string | undefined): string | undefined {
  return text !== undefined && text.length > maxText ? `${text.slice(0, maxText)}…` : text;
}

/** Rounds to microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
