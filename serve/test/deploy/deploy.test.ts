// The files of deploy/ against what they name: schemas, the command line, routes, metrics and the packages. No container is built.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "vgg-cudnn";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, serve } from "../../lib/index.ts";
import { saveSmallModel } from "../support/small-model.ts";
import {
  containers,
  deploy,
  type Manifest,
  manifests,
  parseManifests,
  root,
  stagesOf,
} from "./files.ts";
import { faultsOf, hadolint, isFetched, readSchemas } from "./schemas.ts";

const main = join(root, "dist/cli/main.js");
let saved: Awaited<ReturnType<typeof saveSmallModel>>;
beforeAll(async () => {
  saved = await saveSmallModel();
});
afterAll(() => saved?.remove());

const isRequired = process.env.VGG_REQUIRE_TOOLS === "1";
if (!isFetched && !isRequired)
  console.log("skipped: schemas and hadolint for deploy/; npm run deploy:fetch brings them");

describe.runIf(isFetched || isRequired)("the manifests, by their schemas", () => {
  let schemas: ReturnType<typeof readSchemas>;
  beforeAll(() => {
    schemas = readSchemas();
  });

  it.each(manifests.map((one) => [`${one.file}: ${one.kind}`, one] as const))("%s", (_, one) => {
    expect(faultsOf(one, schemas)).toEqual([]);
  });

  it("would not pass with an unknown field, a wrong type or a missing field at any depth", () => {
    const find = (kind: string) => structuredClone(manifests.find((one) => one.kind === kind)!);
    const faults = (kind: string, change: (spec: Manifest["spec"]) => void) => {
      const manifest = find(kind);
      change(manifest.spec);
      return faultsOf(manifest, schemas).join("\n");
    };
    const pod = (spec: Manifest["spec"]) => spec.template.spec;
    for (const [kind, change, said] of [
      ["Deployment", (spec) => Object.assign(pod(spec), { graceSeconds: 1 }), "graceSeconds"],
      ["Deployment", (spec) => Object.assign(pod(spec).containers[0], { arg: [] }), "arg"],
      ["Deployment", (spec) => delete spec.selector, "selector"],
      ["Service", (spec) => Object.assign(spec.ports[0], { port: "http" }), "/spec/ports/0/port"],
      ["PodDisruptionBudget", (spec) => Object.assign(spec, { max: 1 }), "max"],
      ["ScaledObject", (spec) => Object.assign(spec.triggers[0], { meta: {} }), "meta"],
      ["ScaledObject", (spec) => Object.assign(spec, { minReplicas: 1 }), "minReplicas"],
      ["ServingRuntime", (spec) => Object.assign(spec.containers[0], { probe: {} }), "probe"],
      ["InferenceService", (spec) => Object.assign(spec.predictor.model, { uri: "" }), "uri"],
      ["InferenceService", (spec) => Object.assign(spec.predictor, { scaleMetric: "x" }), "scale"],
    ] as [string, (spec: Manifest["spec"]) => unknown, string][])
      expect(faults(kind, change), `${kind} ${said}`).toContain(said);
  });
});

/** Arguments as they are when the cluster has replaced and mounted what they name. */
const onThisMachine = (args: readonly string[]) =>
  args.map((arg) =>
    arg
      .replace("{{.Name}}", "vgg11")
      .replace(/=(\/models\/vgg11|\/mnt\/models)$/, `=${saved.folder}`)
      .replace(/^(--\w+-port)=\d+$/, "$1=0"),
  );

const ms = (args: readonly string[], flag: string) =>
  Number(args.find((arg) => arg.startsWith(`${flag}=`))!.split("=")[1]);

describe("the manifests, by what the server is", () => {
  it("are all there", () => {
    expect(manifests.map(({ kind }) => kind).sort()).toEqual([
      ...["Deployment", "Deployment", "InferenceService", "InferenceService"],
      ...["PodDisruptionBudget", "ScaledObject", "Service", "ServingRuntime", "ServingRuntime"],
    ]);
    expect(containers).toHaveLength(4);
  });

  it.each(containers)("%s: vgg serve takes the arguments", (_, { args }) => {
    const line = [main, ...onThisMachine(args), "--check"];
    const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: "utf8" });
    expect([status, stdout, stderr]).toEqual([0, "vgg11: version 1\n", ""]);
  });

  it.each(containers)("%s: the image has this version", (_, { image }) => {
    expect(image).toMatch(new RegExp(`^registry\\.example/vgg-serve:${version}(-cuda)?$`));
  });

  it.each(containers)("%s: ports and probes agree with the arguments", (_, container) => {
    const { args, ports, startupProbe, readinessProbe, livenessProbe } = container;
    const served = args.flatMap((arg) => /^--(\w+)-port=(\d+)$/.exec(arg)?.slice(1) ?? []);
    const portOf = (name: string) => Number(served[served.indexOf(name) + 1]);
    for (const { name, containerPort } of ports)
      expect(containerPort, name).toBe(portOf(name.replace(/\d$/, "")));
    for (const { httpGet } of [startupProbe, readinessProbe, livenessProbe].filter((p) => !!p)) {
      const named = ports.find(({ name }) => name === httpGet.port)?.containerPort;
      expect(named ?? httpGet.port).toBe(portOf("http"));
    }
  });

  it("give a pod more time to end than it may need", () => {
    for (const [file, { args, lifecycle }] of containers) {
      const preStop = Number(lifecycle?.preStop.exec.command[1] ?? 0) * 1000;
      const runtime = manifests.find((one) => one.file === file)!;
      const users = manifests.filter(
        ({ spec }) => spec.predictor?.model.runtime === runtime.metadata.name,
      );
      const predictor = users[0]?.spec.predictor;
      const pod = runtime.spec.template?.spec ?? predictor;
      const needed = preStop + ms(args, "--drain-ms") + ms(args, "--shutdown-ms");
      expect(pod.terminationGracePeriodSeconds ?? pod.timeout, file).toBeGreaterThan(needed / 1000);
    }
  });

  it("name objects, runtimes, labels and ports that are there", () => {
    const named = (kind: string) => manifests.filter((one) => one.kind === kind);
    const deployments = named("Deployment");
    expect(new Set(deployments.map(({ metadata }) => metadata.name))).toEqual(
      new Set([named("ScaledObject")[0]!.spec.scaleTargetRef.name]),
    );
    for (const { spec } of deployments) {
      expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
      expect(named("Service")[0]!.spec.selector).toEqual(spec.template.metadata.labels);
      const budget = named("PodDisruptionBudget")[0]!.spec.selector.matchLabels;
      expect(budget).toEqual(spec.template.metadata.labels);
      const [{ ports }] = spec.template.spec.containers;
      for (const { targetPort, port } of named("Service")[0]!.spec.ports)
        expect(ports).toContainEqual({ name: targetPort, containerPort: port });
    }
    const runtimes = named("ServingRuntime").map(({ metadata }) => metadata.name);
    for (const { spec } of named("InferenceService"))
      expect(runtimes).toContain(spec.predictor.model.runtime);
  });

  it("ask one manifest for a GPU, which runs the image for CUDA", () => {
    for (const [file, { image, resources, args }] of containers) {
      const isGpu = file === "kubernetes/gpu.yaml";
      expect(image.endsWith("-cuda"), file).toBe(isGpu);
      expect("nvidia.com/gpu" in resources.limits, file).toBe(isGpu);
      expect(args.includes("--device=cuda"), file).toBe(isGpu);
    }
  });
});

describe("the manifests, by what a running server answers", () => {
  let server: Server;
  let base: string;
  let metrics: string;
  beforeAll(async () => {
    server = await serve({
      models: { vgg11: { weights: saved.folder, devices: ["cpu"], threads: 2, warmup: false } },
      ...{ http: { port: 0 }, grpc: false, metrics: { port: 0 }, drainMs: 0 },
      log: { level: "error" },
    });
    base = `http://127.0.0.1:${server.addresses.http!.port}`;
    metrics = `http://127.0.0.1:${server.addresses.metrics!.port}`;
  });
  afterAll(() => server?.close());

  it("probe routes that answer 200", async () => {
    const probes = containers.flatMap(([, one]) =>
      [one.startupProbe, one.readinessProbe, one.livenessProbe].filter((probe) => !!probe),
    );
    expect(probes.length).toBeGreaterThan(8);
    for (const path of new Set(probes.map(({ httpGet }) => httpGet.path)))
      expect((await fetch(base + path)).status, path).toBe(200);
  });

  it("query series that the server has, at the path that they name", async () => {
    const text = await (await fetch(`${metrics}/metrics`)).text();
    const all = manifests.flatMap((one) => JSON.stringify(one).match(/"query":"(?:[^"\\]|\\.)*"/g));
    const queries = all.filter((query) => query !== null).map((q) => JSON.parse(`{${q}}`).query);
    expect(queries).toHaveLength(2);
    for (const query of queries) {
      const [, name, label] = /^sum\((\w+)\{(\w+="\w+")\}\)$/.exec(query)!;
      const series = text.split("\n").filter((line) => line.startsWith(`${name}{`));
      expect(
        series.filter((line) => line.includes(label!)),
        query,
      ).toHaveLength(1);
    }
    const paths = JSON.stringify(manifests).matchAll(/"prometheus\.\w+\.?\w*\/path":"([^"]+)"/g);
    expect(new Set([...paths].map(([, path]) => path))).toEqual(new Set(["/metrics"]));
  });
});

describe("the Dockerfile", () => {
  const text = readFileSync(join(deploy, "Dockerfile"), "utf8");
  const stages = stagesOf(text);
  const valuesOf = (stage: string, name: string) =>
    stages
      .get(stage)!
      .filter(([instruction]) => instruction === name)
      .map(([, rest]) => rest);

  it("has a stage for the CPU and one for CUDA, on pinned bases, and copies from a stage before", () => {
    expect([...stages.keys()]).toEqual(["packages", "cuda", "cpu"]);
    for (const stage of stages.keys()) expect(valuesOf(stage, "FROM")[0]).toMatch(/^[\w./]+:\d/);
    for (const stage of ["cuda", "cpu"])
      for (const copy of valuesOf(stage, "COPY")) expect(copy).toMatch(/^--from=packages \//);
  });

  it("installs both packages in this version", () => {
    expect(valuesOf("packages", "ARG")).toEqual([`VERSION=${version}`]);
    const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const server = JSON.parse(readFileSync(join(root, "serve/package.json"), "utf8"));
    const run = valuesOf("packages", "RUN").join();
    for (const { name } of [own, server]) expect(run).toContain(`"${name}@\${VERSION}"`);
    expect([own.version, server.version]).toEqual([version, version]);
  });

  it("builds nothing and has no tools that do, and runs as another user than root", () => {
    expect(text).not.toMatch(/apt-get|cmake|g\+\+|build-essential|python|-devel-/);
    for (const stage of ["cuda", "cpu"]) expect(valuesOf(stage, "USER")).toEqual(["1000:1000"]);
  });

  it("starts files of the packages with flags that the command line has", () => {
    for (const stage of ["cuda", "cpu"]) {
      const [node, path] = JSON.parse(valuesOf(stage, "ENTRYPOINT")[0]!) as [string, string];
      expect(node).toBe("node");
      const inside = path.replace("/app/node_modules/vgg-cudnn/", "");
      const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
      expect(inside).toBe(bin.vgg);
      expect(existsSync(join(root, inside))).toBe(true);
      const [command, ...flags] = JSON.parse(valuesOf(stage, "CMD")[0]!) as string[];
      const help = [main, command!, "--help"];
      const { stdout } = spawnSync(process.execPath, help, { encoding: "utf8" });
      for (const flag of flags) expect(stdout).toContain(`${flag.split("=")[0]} <`);
    }
    const doctor = /doctor (--require cpu)$/.exec(valuesOf("packages", "RUN").join())![1]!;
    const line = [main, "doctor", ...doctor.split(" ")];
    expect(spawnSync(process.execPath, line).status).toBe(0);
  });

  it.runIf(isFetched || isRequired)("has no fault that hadolint knows", () => {
    const { status, stdout } = spawnSync(hadolint, [join(deploy, "Dockerfile")], {
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([0, ""]);
  });
});

it("reads manifests strictly", () => {
  expect(() => parseManifests("a: [1")).toThrow();
  expect(() => stagesOf("FROM a AS b\nnonsense")).toThrow("no instruction");
});
