// The lab at a glance: every instrument with its state, lock, calls and latest values.

import { live } from "./live.js";
import { Age, Chip, SeriesValue, Table, serviceLink } from "./parts.js";
import { html, useMemo, useState, useTopic } from "./view.js";

const FILTERS = {
  all: ["all", () => true],
  trouble: ["with trouble", (row) => row.state !== "running" || row.error],
  locked: ["locked", (row) => row.lock?.owner],
  busy: ["with calls", (row) => row.calls?.length],
};
const GROUPS = {
  daemon: ["by daemon", (row) => [row.daemon]],
  lab: ["by lab", (row) => [row.lab ?? HERE]],
  tag: ["by tag", (row) => (row.tags?.length ? [...new Set(row.tags)] : ["without a tag"])],
};
/** The lab of this page among others; no lab can have the name. */
const HERE = "this lab";
/** Values that a card shows; its instrument's view shows all. */
const SHOWN_VALUES = 8;

/** Whether this browser holds the lock of a service. */
export const isMine = (row) =>
  row.lock?.owner && live.lab?.locks?.[row.name] === row.lock.owner.epoch;

/** Whose calls an instrument takes now. */
export function LockLine({ row }) {
  const { owner, waiting = [], note } = row.lock ?? {};
  if (!owner) return note ? html`<p class="lock quiet">${note}</p>` : null;
  return html`<p class="lock"><span class="chip other">locked</span> by ${isMine(row) ? "you" : owner.user || "somebody"}
    ${" "}<span class="quiet">at ${owner.address}, for <${Age} since=${owner.since} suffix="" />${
      owner.away ? ", who is away" : ""}${waiting.length ? `, ${waiting.length} waiting` : ""}</span></p>`;
}

/** The tags of an instrument; each is a button where `onTag` is given. */
export function Tags({ tags, onTag }) {
  if (!tags?.length) return null;
  return html`<p class="tags">${tags.map((tag) => (onTag
    ? html`<button type="button" class="tag" aria-label=${`Filter by tag ${tag}`} onClick=${() => onTag(tag)}>${tag}</button>`
    : html`<span class="tag">${tag}</span>`))}</p>`;
}

function InstrumentCard({ name, onTag }) {
  useTopic(live, `service ${name}`);
  const row = live.services.get(name);
  if (!row) return null;
  const series = live.seriesOf.get(name) ?? [];
  return html`<article class=${`card ${row.state === "running" ? "" : "away"}`} aria-label=${name}>
    <h3><a href=${serviceLink(name)}>${name}</a> <${Chip} state=${row.state} /></h3>
    ${row.description && html`<p class="quiet">${row.description}</p>`}
    <${Tags} tags=${row.tags} onTag=${onTag} />
    ${row.error && html`<p class="trouble">${row.error}</p>`}
    <${LockLine} row=${row} />
    ${(row.calls ?? []).slice(0, 3).map((call) => html`<p class="call">▸ ${call.member}
      <span class="quiet"> by ${call.user || call.caller} for <${Age} since=${call.since} suffix="" />${
        call.waits_for ? `, waits for ${call.waits_for}` : ""}</span></p>`)}
    ${series.length > 0 && html`<dl class="values">${series.slice(0, SHOWN_VALUES).map((one) => html`
      <div key=${one.key}><dt>${one.member}</dt><dd><${SeriesValue} series=${one} /></dd></div>`)}</dl>`}
    ${series.length > SHOWN_VALUES && html`<a class="quiet" href=${serviceLink(name)}>${
      series.length - SHOWN_VALUES} more values</a>`}
  </article>`;
}

/** What is said of a lab that is away, or has not answered yet. */
export function OtherLab({ lab }) {
  const isAway = lab.state === "away";
  return html`<p class=${`message ${isAway ? "bad" : ""}`} role="status">${isAway
    ? html`<strong>The lab ${lab.name} (${lab.host}) is away:</strong> ${lab.error}`
    : `Asking the lab ${lab.name} (${lab.host}) …`}</p>`;
}

function matches(row, words) {
  const text = `${row.name} ${row.daemon} ${row.description ?? ""} ${(row.tags ?? []).join(" ")}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function Processes() {
  const rows = [...live.nameservers.values(), ...live.daemons.values(), ...live.processes.values()].map((row) => [
    row.name, html`<${Chip} state=${row.state} />`, row.restarts ?? 0,
    row.since ? html`<${Age} since=${row.since} suffix="" />` : "-",
    html`<code>${row.uri ?? "-"}</code>`, row.error ?? "",
  ]);
  return html`<section aria-labelledby="processes"><h2 id="processes">Processes</h2>
    <${Table} caption="Processes" head=${["name", "state", "restarts", "since", "address", "error"]}
      rows=${rows} empty="No daemon is configured." /></section>`;
}

export function LabView() {
  useTopic(live, "lab");
  const [search, setSearch] = useState("");
  const [filter, setFilter] = useState("all");
  const [group, setGroup] = useState("daemon");
  const [tag, setTag] = useState("");
  const [lab, setLab] = useState("");
  useTopic(live, filter === "all" ? "lab" : "services");
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const tags = [...new Set([...live.services.values()].flatMap((row) => row.tags ?? []))].sort();
  const hasTag = (row) => !tag || (row.tags ?? []).includes(tag);
  const hasLab = (row) => !lab || (row.lab ?? HERE) === lab;
  const groupings = Object.fromEntries(Object.entries(GROUPS).filter(([key]) => key !== "lab" || live.labs.size));
  const rows = [...live.services.values()]
    .filter((row) => hasLab(row) && FILTERS[filter][1](row) && hasTag(row) && matches(row, words));
  const groups = useMemo(() => {
    const found = new Map();
    for (const row of rows) {
      for (const title of GROUPS[group][1](row)) found.set(title, [...(found.get(title) ?? []), row]);
    }
    return [...found].sort(([one], [other]) => one.localeCompare(other));
  }, [rows.map((row) => `${row.name} ${row.daemon} ${(row.tags ?? []).join()}`).join("\n"), group]);
  const choice = (label, value, set, options) => html`<label>${label}
    <select value=${value} onChange=${(event) => set(event.target.value)}>${
      Object.entries(options).map(([key, [title]]) => html`<option value=${key}>${title}</option>`)}</select></label>`;
  return html`
    <h1 class="hidden">Instruments of the lab</h1>
    ${(live.lab.problems ?? []).map(({ subject, problem, advice }) => html`<p class="message bad"><strong>${subject}:</strong> ${
      problem}${advice && html`<br /><span class="quiet">${advice}</span>`}</p>`)}
    ${[...live.labs.values()].filter((one) => one.state !== "answers").map((one) => html`<${OtherLab} key=${one.name} lab=${one} />`)}
    <form class="bar" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label class="grows"><span class="hidden">Search instruments</span><input id="search" type="search"
        placeholder="Search instruments ( / )" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      ${choice("Show", filter, setFilter, FILTERS)}
      ${(tags.length > 0 || tag) && html`<label>Tag <select value=${tag} onChange=${(event) => setTag(event.target.value)}>
        <option value="">any</option>${[...new Set([...tags, tag])].filter(Boolean).map((one) => html`<option value=${one}>${one}</option>`)}</select></label>`}
      ${(live.labs.size > 0 || lab) && html`<label>Lab <select value=${lab} onChange=${(event) => setLab(event.target.value)}>
        <option value="">all</option>${[...new Set([HERE, ...live.labs.keys(), lab])].filter(Boolean).map((one) => html`<option value=${one}>${one}</option>`)}</select></label>`}
      ${choice("Group", group, setGroup, groupings)}
    </form>
    ${rows.length === 0 && html`<p class="quiet">${live.services.size
      ? "No instrument matches." : "No instrument is configured: see `ferrolab config`."}</p>`}
    ${groups.map(([title, members]) => html`<section key=${title} aria-label=${title}>
      <h2>${title} ${group === "daemon" && live.daemons.get(title) && live.daemons.get(title).state !== "running"
        ? html`<${Chip} state=${live.daemons.get(title).state} />` : ""}</h2>
      <div class="cards">${members.map((row) => html`<${InstrumentCard} key=${row.name} name=${row.name} onTag=${setTag} />`)}</div>
    </section>`)}
    <${Processes} />`;
}
