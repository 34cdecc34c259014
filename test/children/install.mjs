// test/library/nvidia/ runs this in separate processes. Installs files of wheels, and prints the result or the error.
import { installFiles } from "../../dist/nvidia/install.js";

try {
  console.log(JSON.stringify(await installFiles(JSON.parse(process.argv[2]))));
} catch ({ code, message }) {
  console.log(JSON.stringify({ code, message }));
}
