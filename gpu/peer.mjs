// A process that is measured. It answers each line with one line of JSON.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export class Peer {
  constructor(command, script, args = [], env = process.env) {
    this.process = spawn(command, [fileURLToPath(new URL(script, import.meta.url)), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      env,
    });
    this.process.on("error", () => {});
    this.process.stdin.on("error", () => {});
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  /** @throws {Error} if the process has ended, refuses or takes too long. It is then ended, except after a refusal */
  async ask(question, seconds) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer in ${Math.round(seconds)} s`)),
        seconds * 1000,
      );
    });
    try {
      this.process.stdin.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await Promise.race([this.lines.next(), late]);
      if (done) throw new Error("its process ended");
      const answer = JSON.parse(value);
      if (answer.error) throw Object.assign(new Error(answer.error), { isAnswer: true });
      return answer;
    } catch (error) {
      if (!error.isAnswer) this.end();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  end() {
    this.process.kill("SIGKILL");
  }
}
