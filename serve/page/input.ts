// How images come to the page: by drop, paste and file field.
import { byId } from "./dom.js";

/** Calls `take` with the files of each drop, paste and choice. */
export function listen(take: (files: readonly File[]) => void): void {
  const field = byId("file", HTMLInputElement);
  field.addEventListener("change", () => {
    take([...(field.files ?? [])]);
    // The same file may be chosen again.
    field.value = "";
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    const files = [...(clipboardData?.files ?? [])];
    if (files.length > 0) take(files);
  });
  let depth = 0;
  const mark = (change: number) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  // Without this the browser would open the file.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    take([...(event.dataTransfer?.files ?? [])]);
  });
}
