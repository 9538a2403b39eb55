// Files of a result: all of a value that is shown in part, and the arrays and bytes inside of it.

import { html } from "./view.js";
import { shapeText } from "./words.js";

/** Files of one result; a longer one has all of them in its .json. */
const MOST_FILES = 24;

/** Saves a blob under a name, as a click on a link does. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The arrays and bytes in a value that the server keeps as files, each with its path in the value. */
function keptFiles(value, path = "", found = []) {
  if (found.length >= MOST_FILES || value === null || typeof value !== "object") return found;
  if (typeof value["@type"] === "string" && typeof value.url === "string" && value.url.startsWith("/api/results/")) {
    return [...found, { path, value }];
  }
  const parts = Array.isArray(value) ? value.entries() : Object.entries(value.items ?? value);
  let all = found;
  for (const [key, part] of parts) {
    all = keptFiles(part, path ? `${path}.${key}` : String(key), all);
    if (all.length >= MOST_FILES) break;
  }
  return all;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** Links and buttons for the files of a value; `null` where its text says all. */
export function Files({ value, name, isWhole }) {
  const isSmallBytes = value?.["@type"] === "bytes" && typeof value.base64 === "string";
  const kept = keptFiles(value);
  const isText = typeof value === "string";
  const save = () => (isText
    ? saveBlob(new Blob([value], { type: "text/plain" }), `${name}.txt`)
    : saveBlob(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }), `${name}.json`));
  if (isWhole && !isSmallBytes && !kept.length) return null;
  return html`<p class="files">
    ${!isWhole && html`<button type="button" class="plain" onClick=${save}>All of it as ${isText ? ".txt" : ".json"}</button>`}
    ${isSmallBytes && value.base64 && html`<button type="button" class="plain"
      onClick=${() => saveBlob(new Blob([bytesOf(value.base64)]), `${name}.bin`)}>.bin</button>`}
    ${kept.map(({ path, value: file }) => {
      const ending = file.url.slice(file.url.lastIndexOf("."));
      const what = file["@type"] === "array" ? `${file.dtype}, ${shapeText(file.shape)}` : `${file.length} bytes`;
      return html`<a download=${`${path ? `${name}.${path}` : name}${ending}`} href=${file.url}>${path} ${ending}</a>
        <span class="quiet">${what}</span>`;
    })}</p>`;
}
