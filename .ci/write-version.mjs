// `npm version` runs this: it writes the new version of package.json into lib/version.ts.
import { readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const text = readFileSync("lib/version.ts", "utf8");
writeFileSync("lib/version.ts", text.replace(/(?<=version: string = ")[^"]*/, version));
