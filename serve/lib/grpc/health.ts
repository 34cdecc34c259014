// gRPC's health checking protocol, which Kubernetes and grpcurl speak.
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/types.js";
import { GRPCInferenceService } from "./gen/grpc_service_pb.js";
import { Health, HealthCheckResponse_ServingStatus as Status } from "./gen/health_pb.js";

/** "" is the server as a whole. */
const services = new Set(["", GRPCInferenceService.typeName, Health.typeName]);

/** How often a watch looks. */
const watchMs = 250;

/** @param draining ends each watch when the server stops */
export function healthService(
  { health }: Pick<Engine, "health">,
  draining: AbortSignal,
): ServiceImpl<typeof Health> {
  const present = () =>
    health.live() && health.ready().ready ? Status.SERVING : Status.NOT_SERVING;
  return {
    check({ service }) {
      if (!services.has(service))
        throw new ConnectError("The server has no service of this name", Code.NotFound);
      return { status: present() };
    },
    list: () => ({
      statuses: Object.fromEntries([...services].map((name) => [name, { status: present() }])),
    }),
    async *watch({ service }, { signal }) {
      let last: Status | null = null;
      while (!signal.aborted && !draining.aborted) {
        const status = services.has(service) ? present() : Status.SERVICE_UNKNOWN;
        if (status !== last) yield { status };
        last = status;
        // An abort ends the wait, and then the loop.
        await sleep(watchMs, undefined, { signal, ref: false }).catch(() => {});
      }
      if (!signal.aborted) throw new ConnectError("The server stops", Code.Unavailable);
    },
  };
}
