// `npm run -s sbom` prints the bill of materials (CycloneDX, JSON) of what is installed with the package, from package-lock.json only.
import { execFileSync } from "node:child_process";

// `--omit dev` is not used: npm 11 would also omit packages that a development tool needs too, such as tinyglobby.
const args = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only"];
const bill = JSON.parse(
  execFileSync("npm", args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    shell: process.platform === "win32",
  }),
);
const isOfDevelopment = ({ properties }) =>
  properties.some(({ name, value }) => name === "cdx:npm:package:development" && value === "true");
const dropped = new Set(bill.components.filter(isOfDevelopment).map((one) => one["bom-ref"]));
bill.components = bill.components.filter((one) => !dropped.has(one["bom-ref"]));
bill.dependencies = bill.dependencies
  .filter(({ ref }) => !dropped.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => !dropped.has(one)) }));
// npm names the root after its folder.
bill.metadata.component.name = process.env.npm_package_name;
process.stdout.write(`${JSON.stringify(bill, null, 2)}\n`);
