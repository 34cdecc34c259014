// Copies what the compiler does not write into dist/page: the page's HTML, its style and its icon.
import { copyFileSync } from "node:fs";

for (const name of ["index.html", "style.css", "icon.svg"])
  copyFileSync(new URL(name, import.meta.url), new URL(`../dist/page/${name}`, import.meta.url));
