// Small parts of every view: chips, ages, values, messages, dialogs.

import { live } from "./live.js";
import { html, useEffect, useRef, useTopic } from "./view.js";
import { durationText, valueText } from "./words.js";

const GOOD_STATES = new Set(["running", "ready", "ok", "good"]);
const BAD_STATES = new Set(["failed", "error", "unwell", "hangs", "gave up", "crashed", "firing", "no data"]);

/** A state in a coloured chip; the colour says nothing that the word does not. */
export function Chip({ state }) {
  const kind = GOOD_STATES.has(state) ? "good" : BAD_STATES.has(state) ? "bad" : "other";
  return html`<span class=${`chip ${kind}`}>${state}</span>`;
}

/** How old something is, by the server's clock; written again each second without drawing the view. */
export function Age({ since, suffix = " ago" }) {
  const element = useRef();
  useEffect(() => {
    const write = () => {
      const text = since ? durationText(Math.max(0, live.now() - since)) : "never";
      const whole = text === "now" || text === "never" ? text : text + suffix;
      if (element.current && element.current.textContent !== whole) element.current.textContent = whole;
    };
    write();
    return live.listen("tick", write);
  }, [since, suffix]);
  return html`<span class="age" ref=${element}></span>`;
}

/** The latest value of a series with unit, quality and age. */
export function SeriesValue({ series }) {
  useTopic(live, `series ${series.key}`);
  const isGood = (series.quality ?? "good") === "good";
  const title = series.error || (isGood ? "" : `quality: ${series.quality}`);
  return html`<span class=${`value ${isGood ? "" : "doubtful"}`} title=${title}>
    <span class="number">${series.value === null || series.value === undefined
      ? "–" : valueText(series.value)}</span>
    ${series.unit && html`<span class="unit"> ${series.unit}</span>`}
    ${!isGood && html`<span class="quality"> ${series.quality}</span>`}
    ${" "}<${Age} since=${series.t} />
  </span>`;
}

/** A failure in words, with the driver's traceback behind a fold. */
export function Failure({ error }) {
  if (!error) return null;
  const { python } = error;
  return html`<div class="message bad" role="alert">
    <p>${python ? html`<strong>${python.class}:</strong> ${python.text}` : error.message}</p>
    ${python && error.title && html`<p class="quiet">${error.title}</p>`}
    ${python?.traceback && html`<details><summary>Traceback of the driver</summary>
      <pre>${[].concat(python.traceback).join("")}</pre></details>`}
  </div>`;
}

/** A modal dialog of the browser; Escape closes it. */
export function Dialog({ title, onClose, children }) {
  const element = useRef();
  useEffect(() => {
    element.current.showModal();
    return () => element.current?.close();
  }, []);
  return html`<dialog ref=${element} onClose=${onClose} aria-label=${title}>
    <h2>${title}</h2>${children}
  </dialog>`;
}

/** A table that scrolls sideways inside itself on a narrow screen. */
export function Table({ caption, head, rows, empty }) {
  if (!rows.length) return html`<p class="quiet">${empty}</p>`;
  return html`<div class="scrolls" tabindex="0" role="region" aria-label=${caption}><table>
    <caption class="hidden">${caption}</caption>
    <thead><tr>${head.map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
    <tbody>${rows.map((cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

export const serviceLink = (name) => `#/service/${encodeURIComponent(name)}`;
