// One instrument: its values, its members as forms, its lock, its calls, its log.

import { breakLock, lockService, readLog, readService, unlockService } from "./api.js";
import { MethodForm, PropertyLine } from "./form.js";
import { LockLine, OtherLab, Tags, isMine } from "./lab.js";
import { live } from "./live.js";
import { LogLines, withNewLines } from "./lists.js";
import { Age, Chip, Dialog, Failure, SeriesValue, Table, serviceLink } from "./parts.js";
import { TimePlot } from "./plot.js";
import { html, useEffect, useMemo, useRead, useRef, useState, useTopic } from "./view.js";

const LOG_LINES = 100;
/** Members that a lock adds: the lock has a panel of its own, and a call has no connection to keep one. */
const LOCK_MEMBERS = new Set(["lock", "unlock", "islocked", "lock_info"]);

/** What a service is that a reload has removed while its view is open. */
const REMOVED = { state: "removed", error: "The configuration of the lab has no such service any longer.", lock: null, calls: [] };

function LockPanel({ row }) {
  const [error, setError] = useState(null);
  const [asks, setAsks] = useState(false);
  const [reason, setReason] = useState("");
  const readonly = live.lab?.readonly;
  const act = (work) => work.then(() => live.load()).then(() => setError(null), setError);
  if (!row.lock) return null;
  const isLocked = !!row.lock.owner;
  const mine = isMine(row);
  const take = (event) => {
    event.preventDefault();
    act(breakLock(row.name, reason).then(() => setAsks(false)));
  };
  return html`<section aria-labelledby="lock"><h2 id="lock">Lock</h2>
    ${isLocked ? html`<${LockLine} row=${row} />` : html`<p class="quiet">Nobody holds it.</p>`}
    ${(row.lock.waiting ?? []).map((waiter) => html`<p class="quiet">${waiter.user || "somebody"} at ${waiter.address} waits for <${Age} since=${waiter.since} suffix="" /></p>`)}
    <div class="bar">
      ${!isLocked && html`<button disabled=${readonly} onClick=${() => act(lockService(row.name, 0))}>Take the lock</button>`}
      ${isLocked && mine && html`<button disabled=${readonly} onClick=${() => act(unlockService(row.name))}>Hand it back</button>`}
      ${isLocked && !mine && html`<button class="danger" disabled=${readonly} onClick=${() => setAsks(true)}>Break the lock …</button>`}
    </div>
    ${!asks && html`<${Failure} error=${error} />`}
    ${asks && html`<${Dialog} title=${`Break the lock of ${row.name}`} onClose=${() => setAsks(false)}>
      <p>${row.lock.owner?.user || "Its owner"} loses the instrument and is told so. The reason is recorded.</p>
      <${Failure} error=${error} />
      <form onSubmit=${take}><label>Reason
        <input type="text" required value=${reason} onInput=${(event) => setReason(event.target.value)} /></label>
        <div class="bar"><button class="danger">Break the lock</button>
          <button type="button" class="plain" onClick=${() => setAsks(false)}>Leave it</button></div></form>
    <//>`}
  </section>`;
}

/** Series of a service: the latest values, and a plot of those that are chosen. */
function Values({ name }) {
  useTopic(live, `service ${name}`);
  const all = live.seriesOf.get(name) ?? [];
  const [chosen, setChosen] = useState(null);
  const isNumeric = (one) => typeof one.value === "number" || typeof one.value === "boolean"
    || one.recent.some((sample) => typeof sample.value === "number");
  const numeric = all.filter(isNumeric);
  const shown = numeric.filter((one, at) => (chosen ? chosen.has(one.member) : at < 2));
  const turn = (member) => {
    const next = new Set(chosen ?? shown.map((one) => one.member));
    if (!next.delete(member)) next.add(member);
    setChosen(next);
  };
  if (!all.length) return null;
  return html`<section aria-labelledby="values"><h2 id="values">Values</h2>
    <dl class="values wide">${all.map((one) => html`<div key=${one.key}>
      <dt>${numeric.includes(one) ? html`<label><input type="checkbox" checked=${shown.includes(one)}
        onChange=${() => turn(one.member)} /> ${one.member}</label>` : one.member}</dt>
      <dd><${SeriesValue} series=${one} /></dd></div>`)}</dl>
    ${shown.length > 0 && html`<${TimePlot} series=${shown} title=${`${name}: ${shown.map((one) => one.member).join(", ")}`} />`}
  </section>`;
}

function Members({ name, card, readonly, hasLock }) {
  const [search, setSearch] = useState("");
  const entries = Object.entries(card.members ?? {})
    .filter(([member]) => !hasLock || !LOCK_MEMBERS.has(member))
    .filter(([member]) => member.toLowerCase().includes(search.toLowerCase()));
  const properties = entries.filter(([, member]) => member.kind === "property");
  const methods = entries.filter(([, member]) => member.kind !== "property");
  const many = Object.keys(card.members ?? {}).length > 12;
  return html`
    ${many && html`<label class="bar">Members <input type="search" value=${search} placeholder="part of a name"
      onInput=${(event) => setSearch(event.target.value)} /></label>`}
    ${properties.length > 0 && html`<section aria-labelledby="properties"><h2 id="properties">Properties</h2>
      ${properties.map(([member, facts]) => html`<${PropertyLine} key=${member} service=${name} name=${member}
        member=${facts} readonly=${readonly} />`)}</section>`}
    ${methods.length > 0 && html`<section aria-labelledby="methods"><h2 id="methods">Methods</h2>
      ${methods.map(([member, facts]) => html`<${MethodForm} key=${member} service=${name} name=${member}
        member=${facts} readonly=${readonly} />`)}</section>`}`;
}

function Log({ name }) {
  const log = useRead(() => readLog({ service: name, lines: LOG_LINES }), [name]);
  useEffect(() => live.listen("resumed", log.again), []);
  useTopic(live, "log");
  const lines = withNewLines(log.value?.lines ?? [], (line) => line.service === name);
  return html`<section aria-labelledby="log"><h2 id="log">Log</h2>
    <${Failure} error=${log.error} />
    <${LogLines} lines=${lines.slice(-2 * LOG_LINES)} />
    <button class="plain" onClick=${log.again}>Read again</button></section>`;
}

/** Where an instrument of another lab is driven: not here. */
function ElsewhereNote({ row }) {
  const { page, host } = live.labs.get(row.lab) ?? {};
  const there = row.name.slice(row.lab.length + 1);
  return html`<p class="message" role="note">This instrument is of the lab ${row.lab}: it is only shown here, and driven
    from the page of its own lab${page ? html`: <a href=${page + serviceLink(there)}>${there} at ${row.lab}</a>.`
      : ` on ${host ?? row.lab}, which is not reachable from other hosts, or not configured (web).`}</p>`;
}

export function InstrumentView({ name }) {
  useTopic(live, `service ${name}`);
  useTopic(live, "lab");
  const known = live.services.get(name);
  const before = useRef(known);
  if (known) before.current = known;
  // One that the configuration has no longer keeps its view, with what was entered.
  const row = known ?? (before.current && { ...before.current, ...REMOVED });
  const isUp = row?.state === "running";
  // The form stays on the page, with what was entered, while its instrument is away.
  const read = useRead(async () => (row?.lab ? {} : readService(name)), [name, isUp]);
  useEffect(() => live.listen("resumed", read.again), []);
  const last = useRef(null);
  const card = useMemo(() => (last.current = read.value?.card ?? last.current), [read.value]);
  const readonly = !!live.lab?.readonly;
  const other = live.labs.get(name.split("/")[0]);
  if (!row && other && other.state !== "answers") return html`<h1>${name}</h1><${OtherLab} lab=${other} />`;
  if (!row) return html`<p class="message bad">The lab has no service ${name}. <a href="#/">All instruments</a></p>`;
  return html`
    <h1>${name} <${Chip} state=${row.state} /></h1>
    ${row.description && html`<p class="quiet">${row.description}</p>`}
    <${Tags} tags=${row.tags} />
    ${card?.doc && html`<p class="doc">${card.doc}</p>`}
    ${row.error && html`<p class="message bad">${row.error}</p>`}
    <div class="columns"><div>
      <${Values} name=${name} />
      ${row.lab ? html`<${ElsewhereNote} row=${row} />` : card ? html`<${Members} name=${name} card=${card} readonly=${readonly} hasLock=${!!row.lock} />`
        : row.error ? "" : read.value?.card_error ? html`<p class="message bad">${read.value.card_error}</p>` : read.error ? html`<${Failure} error=${read.error} />` : html`<p class="quiet">Reading its card …</p>`}
    </div><div>
      ${row.lab ? row.lock && html`<section aria-labelledby="lock"><h2 id="lock">Lock</h2>
        ${row.lock.owner ? html`<${LockLine} row=${row} />` : html`<p class="quiet">Nobody holds it.</p>`}</section>`
        : html`<${LockPanel} row=${row} />`}
      <section aria-labelledby="calls"><h2 id="calls">Calls now</h2>
        <${Table} caption="Calls that run or wait" head=${["member", "by", "for", "waits for"]}
          rows=${(row.calls ?? []).map((call) => [call.member, call.user || call.caller,
            html`<${Age} since=${call.since} suffix="" />`, call.waits_for ?? ""])}
          empty="No call runs." /></section>
      <section aria-labelledby="facts"><h2 id="facts">Facts</h2><dl class="values wide">
        <div><dt>daemon</dt><dd>${row.daemon}</dd></div>
        <div><dt>address</dt><dd><code>${row.uri ?? "-"}</code></dd></div>
        <div><dt>restarts</dt><dd>${row.restarts ?? 0}</dd></div>
        ${row.simulated && html`<div><dt>simulated</dt><dd>yes</dd></div>`}
        ${card?.class && html`<div><dt>class</dt><dd>${card.class}</dd></div>`}
      </dl></section>
      ${!row.lab && html`<${Log} name=${name} />`}
    </div></div>`;
}
