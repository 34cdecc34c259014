// Classifies images that wait in NATS JetStream, and keeps the results under the images' keys. Needs @nats-io/transport-node,
// @nats-io/jetstream and @nats-io/kv 3. Usage: node 13-nats-jetstream.ts [WEIGHTS], with NATS_URL in the environment. Without
// WEIGHTS the parameters are random.
import {
  AckPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JsMsg,
  jetstream,
  RetentionPolicy,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, nanos } from "@nats-io/transport-node";
import { Vgg, VggError } from "vgg-cudnn";

const [weights] = process.argv.slice(2);
const { NATS_URL = "127.0.0.1:4222", ACK_WAIT_MS = "30000" } = process.env;
/** After this time without a word of its worker, a message goes to another one. */
const ackWaitMs = Number(ACK_WAIT_MS);

const connection = await connect({ servers: NATS_URL, maxReconnectAttempts: -1 });
const stream = jetstream(connection);
const manager = await stream.jetstreamManager();
// A message is the file of an image, and its header "key" names the result. It stays until a worker has acknowledged it.
await manager.streams.add({
  name: "images",
  subjects: ["images"],
  retention: RetentionPolicy.Workqueue,
});
// A message that has ended five workers is not delivered again.
await manager.consumers.add("images", {
  durable_name: "vgg",
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(ackWaitMs),
  max_deliver: 5,
});
const results = await new Kvm(stream).create("vgg-results");
const consumer = await stream.consumers.get("images", "vgg");
const model = weights ? await Vgg.load(weights) : await Vgg.create("vgg11", { seed: 1 });

let isEnding = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => (isEnding = true));
console.log("ready");
while (!isEnding) {
  const messages: JsMsg[] = [];
  // Up to 64 that wait now, or the first one that comes within a second.
  for await (const message of await consumer.fetch({ max_messages: 64, expires: 1000 }))
    messages.push(message);
  if (messages.length > 0) await classify(messages);
}
await model.dispose();
await connection.drain();

/** Acknowledges each message after its result is kept. What is not acknowledged comes again, so the first result stays. */
async function classify(messages: readonly JsMsg[]): Promise<void> {
  const waiting = new Set(messages);
  const alive = setInterval(() => {
    for (const message of waiting) message.working();
  }, ackWaitMs / 3);
  try {
    const images = messages.map(({ data }) => data);
    let index = 0;
    for await (const result of model.classifyEach(images, { top: 5, batchSize: 16 })) {
      const message = messages[index++]!;
      waiting.delete(message);
      if (!("error" in result)) await keep(message, { predictions: result.predictions });
      else if (result.error instanceof VggError && result.error.code.startsWith("IMAGE_")) {
        const { code, message: reason } = result.error;
        await keep(message, { error: { code, message: reason } });
      } else message.nak(1000); // such as a lack of memory
    }
  } finally {
    clearInterval(alive);
  }
}

async function keep(message: JsMsg, result: object): Promise<void> {
  const key = message.headers?.get("key") ?? "";
  try {
    if (/^[\w/=.-]+$/.test(key)) await results.create(key, JSON.stringify(result));
    else console.error(`message ${message.seq} is dropped: it has no key that a bucket can have`);
  } catch (error) {
    const { StreamWrongLastSequence } = JetStreamApiCodes;
    const isThere = error instanceof JetStreamApiError && error.code === StreamWrongLastSequence;
    if (!isThere) throw error;
  }
  message.ack();
}
