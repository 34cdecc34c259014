// The hono app of REST: the routes, who may call them, and what becomes of errors.
import { Hono } from "hono";
import { clientOfAddress } from "../access/rate.js";
import { ServeError, toServeError } from "../errors.js";
import { shown } from "../protocol/expected.js";
import { HeldBytes } from "./body/held-bytes.js";
import { afterUnreadBody } from "./body/unread.js";
import { type Call, type HttpEnvironment, type HttpServices, incomingOf } from "./context.js";
import { openApiDocument } from "./openapi/document.js";
import { addPage } from "./page/page.js";
import { recordRefusal } from "./refusals.js";
import { failure, jsonAnswer } from "./reply.js";
import { type Route, routes } from "./routes.js";

/** Makes the app. A server calls its `fetch` through @hono/node-server; a team can mount it in its own app. */
export function httpApp(services: HttpServices): Hono<HttpEnvironment> {
  const app = new Hono<HttpEnvironment>();
  const held = new HeldBytes(services.limits.heldBytes);
  app.use((call, next) => accounted(call, held, next));
  const describe: Route = {
    method: "GET",
    path: "/openapi.json",
    group: "metadata",
    operation: "openApi",
    handle: () => jsonAnswer(document),
  };
  const all = [...routes, describe];
  const document = openApiDocument(all, services.server);
  for (const path of new Set(all.map((route) => route.path))) {
    const here = all.filter((route) => route.path === path);
    for (const route of here) app.on(route.method, path, (call) => answer(call, route, services));
    app.all(path, (call) => refuseMethod(call, here));
  }
  if (services.page === true) addPage(app);
  app.notFound((call) =>
    failure(new ServeError("NOT_FOUND", `Request for unknown path: ${shown(call.req.path)}`)),
  );
  return app;
}

/** Counts the bytes of a request and its answer, and sees to a body that was not read. */
async function accounted(call: Call, held: HeldBytes, next: () => Promise<void>): Promise<void> {
  const [body, unsent] = [held.open(), held.open()];
  call.set("body", body);
  call.set("answer", unsent);
  call.env?.outgoing?.once("close", unsent.close);
  try {
    await next();
  } finally {
    body.close();
  }
  const whole = call.res;
  const ready = await afterUnreadBody(call, whole);
  if (ready !== whole) call.res = ready;
}

/** Admits the client, runs the handler, and turns what it throws into an answer. */
async function answer(call: Call, route: Route, services: HttpServices): Promise<Response> {
  const startMs = performance.now();
  try {
    const address = incomingOf(call)?.socket.remoteAddress;
    const authorization = call.req.header("authorization");
    call.set("startMs", startMs);
    call.set("client", clientOfAddress(address));
    call.set("client", services.access.admit(route.group, authorization, address));
    return await route.handle(call, services);
  } catch (thrown) {
    const error = call.req.raw.signal.aborted
      ? new ServeError("CANCELED", "The client has left", { cause: thrown })
      : toServeError(thrown);
    recordRefusal(call, route, services, error, startMs);
    if (error.kind === "INTERNAL") (services.onDefect ?? console.error)(error);
    return failure(error);
  }
}

function refuseMethod(call: Call, here: readonly Route[]): Response {
  const allowed = here.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  const error = new ServeError(
    "METHOD",
    `Expected ${allowed.join(" or ")} for this path but received ${shown(call.req.method)}`,
  );
  return failure(error, { Allow: allowed.join(", ") });
}
