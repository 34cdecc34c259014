// test/library/hub-processes.test.ts runs this in separate processes. Pulls the given entry, and prints the result or the error.
import { pull } from "../../dist/download/hub.js";

const { weights, options } = JSON.parse(process.argv[2]);
console.error("started");
try {
  console.log(JSON.stringify(await pull(weights, options)));
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }));
}
