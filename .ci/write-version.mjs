// `npm version` runs this: it writes the new version of package.json into lib/version.ts, serve/package.json and the lock file.
import { readFileSync, writeFileSync } from "node:fs";

const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

const { name, version } = read("package.json");
const text = readFileSync("lib/version.ts", "utf8");
writeFileSync("lib/version.ts", text.replace(/(?<=version: string = ")[^"]*/, version));

const server = read("serve/package.json");
server.version = version;
server.peerDependencies[name] = version;
write("serve/package.json", server);

const lock = read("package-lock.json");
lock.packages.serve.version = version;
lock.packages.serve.peerDependencies[name] = version;
write("package-lock.json", lock);
