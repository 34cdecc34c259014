// Answers `GET /metrics` for Prometheus.
import type { RequestListener } from "node:http";
import type { Metrics } from "./observe/metrics.js";

/** Returns a listener that has this one path. */
export function metricsListener(metrics: Pick<Metrics, "text" | "contentType">): RequestListener {
  return async (request, response) => {
    const path = request.url?.split("?")[0];
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (path !== "/metrics") return void response.writeHead(404).end();
    if (!isRead) return void response.writeHead(405, { Allow: "GET, HEAD" }).end();
    try {
      const text = await metrics.text();
      response.writeHead(200, { "Content-Type": metrics.contentType }).end(text);
    } catch {
      response.writeHead(500).end();
    }
  };
}
