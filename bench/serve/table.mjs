// `node bench/serve/table.mjs` prints the table of bench/results/serve-cpu.json for docs/benchmark.md.
import { readFileSync } from "node:fs";

const file = new URL("../results/serve-cpu.json", import.meta.url);
const { kinds } = JSON.parse(readFileSync(file, "utf8"));
const names = { rest: "vgg serve, REST", grpc: "vgg serve, gRPC", express: "Express" };
const times = ({ p50Ms, p95Ms, p99Ms }) =>
  [p50Ms, p95Ms, p99Ms].map((ms) => ms.toFixed(0)).join(" / ");
const print = (...cells) => console.log(`| ${cells.join(" | ")} |`);

print("body", "connections", "server", "images/s", "÷ library", "÷ Express", "p50 / p95 / p99, ms");
print(...Array(7).fill("---"));
for (const [kind, { connections }] of Object.entries(kinds))
  for (const [number, { library, ...servers }] of Object.entries(connections)) {
    print(
      kind,
      number,
      "none: the library",
      library.imagesPerSecond.toFixed(1),
      "1",
      "",
      times(library),
    );
    for (const [name, row] of Object.entries(servers)) {
      const { imagesPerSecond: rate, ofLibrary } = row;
      const ofExpress = (rate / servers.express.imagesPerSecond).toFixed(2);
      print(
        kind,
        number,
        names[name],
        rate.toFixed(1),
        ofLibrary.toFixed(2),
        ofExpress,
        times(row),
      );
    }
  }
