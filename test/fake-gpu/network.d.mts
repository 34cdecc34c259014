// The types of network.mjs.
import type { GraphRecord } from "../../lib/graph/ops.ts";
import type {
  Device,
  DeviceTensor,
  Graph,
  GraphBuilder,
  ParameterStore,
  Precision,
  Tensor,
} from "../../lib/index.ts";

export const shape: readonly number[];

export function openControl(path: string): {
  file: number;
  control(name: string, value?: number): number;
  counts(): Record<string, number>;
};

export interface Network {
  readonly device: Device;
  readonly store: ParameterStore;
  readonly record: GraphRecord;
  forward(
    x: Tensor | DeviceTensor,
    options?: { signal?: AbortSignal; into?: Record<string, DeviceTensor> },
  ): Promise<Tensor>;
  profile: (x: Tensor, options: { iterations: number }) => ReturnType<Graph["profile"]>;
  dispose(): Promise<void>;
}

export function makeNetwork(
  library: {
    Graph: typeof Graph;
    GraphBuilder: typeof GraphBuilder;
    ParameterStore: typeof ParameterStore;
  },
  device: Device,
  options?: { seed?: number; precision?: Precision },
): Promise<Network>;

export function caught(
  promise: Promise<unknown>,
): Promise<{ name: string; code: string; message: string } | null>;
