// What every server of the recipes answers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "./project.ts";

const image = readFileSync(join(root, "test/golden/images/small.png"));
const post = (address: string, body: string | Uint8Array<ArrayBuffer>, type = "image/png") =>
  fetch(`${address}/classify`, { method: "POST", body, headers: { "content-type": type } });

/** What every server of the recipes answers. */
export async function checkAnswers(address: string): Promise<void> {
  const answers = await Promise.all(Array.from({ length: 8 }, () => post(address, image)));
  for (const answer of answers) {
    expect(answer.status).toBe(200);
    const predictions = (await answer.json()) as unknown[];
    expect(predictions).toHaveLength(3);
    expect(predictions[0]).toEqual({
      index: expect.any(Number),
      label: expect.any(String),
      probability: expect.any(Number),
    });
  }
  const text = await post(address, "no image", "text/plain");
  expect(text.status).toBe(422);
  expect(await text.json()).toEqual({ error: expect.stringContaining("image") });
}
