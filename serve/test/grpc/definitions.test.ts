// The generated code fits the definitions, and both fit what clients have.
import { readdirSync, readFileSync } from "node:fs";
import type { DescFile, DescMessage } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { file_grpc_service } from "../../lib/grpc/gen/grpc_service_pb.ts";
import { file_health } from "../../lib/grpc/gen/health_pb.ts";
import { file_model_config } from "../../lib/grpc/gen/model_config_pb.ts";

const folder = new URL("../../lib/grpc/proto/", import.meta.url);

/** Each field and enum value of a file as `name = number`, and each message, service and call. */
function linesOf(file: DescFile): string[] {
  const enums = [...file.enums];
  const lines: string[] = [];
  const add = (message: DescMessage) => {
    lines.push(`message ${message.name}`);
    for (const { name, number } of message.fields) lines.push(`${name} = ${number}`);
    enums.push(...message.nestedEnums);
    for (const nested of message.nestedMessages) add(nested);
  };
  for (const message of file.messages) add(message);
  for (const { name, values } of enums)
    lines.push(`enum ${name}`, ...values.map((value) => `${value.name} = ${value.number}`));
  for (const { name, methods } of file.services)
    lines.push(`service ${name}`, ...methods.map((method) => `rpc ${method.name}`));
  return lines.sort();
}

describe("the generated code", () => {
  it.each([
    ["grpc_service.proto", file_grpc_service],
    ["model_config.proto", file_model_config],
    ["health.proto", file_health],
  ])("has every name and number of %s, and no other", (name, file) => {
    const text = readFileSync(new URL(name, folder), "utf8").replace(/\/\/.*|syntax = .*/g, "");
    const found = text.match(/\b(?:message|enum|service|rpc) \w+|\b\w+ = \d+/g) ?? [];
    expect(found.sort()).toEqual(linesOf(file));
  });

  it("is made from every definition", () => {
    const protos = readdirSync(folder).filter((name) => name.endsWith(".proto"));
    expect(protos.sort()).toEqual(["grpc_service.proto", "health.proto", "model_config.proto"]);
  });
});
