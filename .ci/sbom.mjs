// `npm run -s sbom` prints the bill of materials (CycloneDX, JSON) of what is installed with the package, from package-lock.json only.
// `npm run -s sbom -- serve` prints that of vgg-cudnn-serve.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

// `--omit dev` is not used: npm 11 would also omit packages that a development tool needs too, such as tinyglobby.
const args = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only"];
const bill = JSON.parse(
  execFileSync("npm", args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    shell: process.platform === "win32",
  }),
);
const folder = process.argv[2] ?? ".";
const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
const own = `${name}@${version}`;
/** npm lists a workspace as what its root depends on, but only a clone has both. */
const workspaces = new Set(["vgg-cudnn", "vgg-cudnn-serve"].map((one) => `${one}@${version}`));
const isOfDevelopment = ({ properties }) =>
  properties.some((one) => one.name === "cdx:npm:package:development" && one.value === "true");
const dropped = new Set(bill.components.filter(isOfDevelopment).map((one) => one["bom-ref"]));
const needs = new Map(
  bill.dependencies.map(({ ref, dependsOn }) => [
    ref,
    dependsOn.filter((one) => !dropped.has(one) && !(ref === own && workspaces.has(one))),
  ]),
);
const kept = new Set();
const keep = (ref) => {
  if (kept.has(ref)) return;
  kept.add(ref);
  for (const one of needs.get(ref) ?? []) keep(one);
};
keep(own);
// The root comes from npm under its folder's name.
const root = bill.metadata.component;
bill.metadata.component =
  root["bom-ref"] === own ? root : bill.components.find((one) => one["bom-ref"] === own);
bill.metadata.component.name = name;
bill.components = bill.components.filter(
  (one) => one["bom-ref"] !== own && kept.has(one["bom-ref"]),
);
bill.dependencies = [...needs]
  .filter(([ref]) => kept.has(ref))
  .map(([ref, dependsOn]) => ({ ref, dependsOn }));
process.stdout.write(`${JSON.stringify(bill, null, 2)}\n`);
