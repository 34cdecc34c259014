// The types for `require("vgg-cudnn")`, which Node ≥ 20.19 answers with the ES module. They are the same types, not copies.
// TypeScript says under `module: node16` that CommonJS cannot require an ES module (TS1479). It knows no older Node than that.
// @ts-ignore
export * from "./index.js";
