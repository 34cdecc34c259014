// Which failures to read an image may pass: of a network, of a busy server, and of a system that lacks something now.

/** Statuses of a server that may answer later: timeout, too early, too many requests. All of 500 and above may too. */
const statuses = [408, 425, 429];

/** Codes of a network or of undici. A name that does not exist and a wrong certificate are not among them. */
const networkCodes = /^(ECONN\w+|ENET\w+|EHOST\w+|EPIPE|ETIMEDOUT|EAI_AGAIN|UND_ERR_\w+)$/;

/** Codes of a system that lacks file descriptors or memory, or of a disk that failed. */
const systemCodes = ["EAGAIN", "EBUSY", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ESTALE"];

const temporary = new WeakSet<Error>();

/** Whether an answer with this status may be another one later. */
export const isTemporaryStatus = (status: number) => status >= 500 || statuses.includes(status);

/** Whether an error with this code may pass. */
export const isTemporaryCode = (code: string) =>
  systemCodes.includes(code) || networkCodes.test(code);

/** Marks an error as one that may pass, and returns it. */
export function mayPass<E extends Error>(error: E): E {
  temporary.add(error);
  return error;
}

/** Whether an error is marked by `mayPass`. */
export const isTemporary = (error: unknown) => temporary.has(error as Error);
