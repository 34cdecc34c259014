// Asks each server once, as the load generators do, and compares the answers with the library's before anything is timed.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { buffer } from "node:stream/consumers";
import { relativeError } from "../statistics.mjs";

/**
 * The greatest relative errors of logits. The Express server scales images with sharp, ours as torchvision does, which
 * differs by 1e-2. Another image of the same kind differs by 0.25, and a crop one pixel beside by 0.07.
 */
const bounds = { pixels: 1e-4, input: 5e-4, jpeg: 3e-2 };

async function ask({ generator, url, headers, body, parse, all = "" }) {
  const bytes = readFileSync(body);
  if (generator === "h2load") return parse(await call(url, headers, bytes));
  const response = await fetch(url + all, { method: "POST", headers, body: bytes });
  const answer = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${answer}`);
  return parse(answer, response.headers);
}

/** One call of gRPC. @returns the framed answer */
async function call(url, headers, bytes) {
  const { origin, pathname } = new URL(url);
  const session = connect(origin);
  try {
    const stream = session.request({ ":method": "POST", ":path": pathname, ...headers });
    const trailers = once(stream, "trailers");
    stream.end(bytes);
    const [answer, [{ "grpc-status": status }]] = await Promise.all([buffer(stream), trailers]);
    if (status !== "0") throw new Error(`${url}: gRPC status ${status}`);
    return answer;
  } finally {
    session.close();
  }
}

/** Returns logits from probabilities of all classes, by class or from the best. Their mean is 0, since softmax loses it. */
function logitsOf(answer) {
  const probabilities = new Float64Array(1000).fill(Number.NaN);
  for (const [i, one] of answer.entries()) probabilities[one.index ?? i] = one.probability ?? one;
  const logs = probabilities.map(Math.log);
  const mean = logs.reduce((a, b) => a + b) / logs.length;
  return logs.map((log) => log - mean);
}

/**
 * @param requests one for each server, by its name @param truth the logits in float64
 * @returns the relative error of each @throws if one is above its bound
 */
export async function compareAnswers(kind, library, requests, truth) {
  const compared = (values) => (kind === "input" ? values : logitsOf(values));
  const answer = await library.ask({ kind, answer: true });
  const errors = kind === "input" ? { library: relativeError(answer, truth) } : {};
  const expected = compared(answer);
  for (const [name, request] of Object.entries(requests))
    errors[name] = relativeError(compared(await ask(request)), expected);
  for (const [name, error] of Object.entries(errors)) {
    const isRight = error <= bounds[kind];
    console.log(`${isRight ? "PASS" : "FAIL"} ${kind}, ${name}: error ${error.toExponential(1)}`);
    if (!isRight) throw new Error(`The answer of ${name} to ${kind} is wrong`);
  }
  return errors;
}
