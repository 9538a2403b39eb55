// Lists of the whole lab: calls, locks, alarms, log.

import { acknowledge, readCallHistory, readLog } from "./api.js";
import { LockLine } from "./lab.js";
import { live } from "./live.js";
import { Age, Chip, Failure, Table, serviceLink } from "./parts.js";
import { html, useEffect, useRead, useRef, useState, useTopic } from "./view.js";
import { numberText, timeText, valueText } from "./words.js";

/** Instruments whose logs are here: those of other labs are on their own pages. */
const ownServices = () => [...live.services.values()].filter((row) => !row.lab).map((row) => row.name);
const link = (name) => html`<a href=${serviceLink(name)}>${name}</a>`;
const LEVELS = ["trace", "debug", "info", "warn", "error"];
const LOG_LINES = 300;
const PAST_CALLS = 200;

export function CallsView() {
  useTopic(live, "lab");
  useTopic(live, "services");
  const [service, setService] = useState("");
  const past = useRead(() => readCallHistory({ service, lines: PAST_CALLS }), [service]);
  const rows = [...live.services.values()].flatMap((row) => (row.calls ?? []).map((call) => [
    link(row.name), call.member, call.user ? `${call.user} at ${call.caller}` : call.caller,
    html`<${Age} since=${call.since} suffix="" />`,
    call.waits_for ? `waits for ${call.waits_for}` : call.overdue ? "overdue" : call.slow ? "slow" : "runs",
  ]));
  const ended = (past.value?.lines ?? []).toReversed().map((call) => [
    timeText(call.t), link(call.service), call.member, call.user ? `${call.user} at ${call.caller}` : call.caller,
    call.duration === undefined || call.duration === null ? "" : `${numberText(call.duration)} s`,
    call.exception ? `${call.exception}: ${call.message ?? ""}` : call.outcome,
  ]);
  return html`<h1>Calls</h1>
    <section aria-labelledby="now"><h2 id="now">Now</h2>
      <${Table} caption="Calls that run or wait" head=${["service", "member", "by", "for", "state"]} rows=${rows}
        empty="No call runs or waits." /></section>
    <section aria-labelledby="past"><h2 id="past">Logged</h2>
      <form class="bar" onSubmit=${(event) => event.preventDefault()}><label>Service
        <select value=${service} onChange=${(event) => setService(event.target.value)}><option value="">all</option>
          ${ownServices().map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
        <button class="plain" onClick=${past.again}>Read again</button></form>
      <${Failure} error=${past.error} />
      <${Table} caption="Calls in the call log" head=${["time", "service", "member", "by", "took", "outcome"]}
        rows=${ended} empty="The call log has no such call. What is logged is set by call_log." /></section>`;
}

export function LocksView() {
  useTopic(live, "lab");
  useTopic(live, "services");
  const rows = [...live.services.values()].filter((row) => row.lock?.owner).map((row) => [
    link(row.name), html`<${LockLine} row=${row} />`, row.lock.owner.epoch,
    row.lock.waiting.map((waiter) => waiter.user || waiter.address).join(", "),
  ]);
  return html`<h1>Locks</h1><${Table} caption="Locks that are held" head=${["service", "held by", "epoch", "waiting"]}
    rows=${rows} empty="No instrument is locked." />`;
}

export function AlarmsView() {
  useTopic(live, "alarms");
  const [error, setError] = useState(null);
  const accept = (alarm) => acknowledge(alarm.service, alarm.member)
    .then(() => setError(null), setError);
  const rows = live.alarms.map((alarm) => [
    html`<${Chip} state=${alarm.state} />`, link(alarm.service), alarm.member,
    alarm.value === null ? "" : `${valueText(alarm.value)} ${alarm.unit ?? ""}`,
    `${alarm.message ?? alarm.condition}${alarm.over ? " (over)" : ""}`,
    html`<${Age} since=${alarm.since} suffix="" />`,
    alarm.acknowledged ? `${alarm.acknowledged.by}${alarm.acknowledged.reason && `: ${alarm.acknowledged.reason}`}`
      : alarm.state === "pending" ? "" : html`<button disabled=${live.lab?.readonly}
        onClick=${() => accept(alarm)}>Acknowledge</button>`,
  ]);
  return html`<h1>Alarms</h1><${Failure} error=${error} />
    <${Table} caption="Alarms" head=${["state", "service", "member", "value", "condition", "since", "acknowledged"]} rows=${rows}
      empty="No alarm: every value is as it should be, as far as alarms are configured." />`;
}

/** Fields of a line that have a place of their own, or say nothing to people. */
const KNOWN_FIELDS = new Set(["t", "timestamp", "level", "service", "entry", "message", "target"]);
/** As near to its end, in pixels, a log stays at its end when lines come. */
const AT_END = 24;

const fieldsText = (line) => Object.entries(line)
  .filter(([key, value]) => !KNOWN_FIELDS.has(key) && value !== null && value !== "")
  .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");

/** Lines of a log, oldest first, at its end; texts of drivers are shown as texts. */
export function LogLines({ lines }) {
  const list = useRef();
  const atEnd = useRef(true);
  const last = lines[lines.length - 1];
  useEffect(() => {
    if (list.current && atEnd.current) list.current.scrollTop = list.current.scrollHeight;
  }, [lines.length, last?.t, last?.message]);
  if (!lines.length) return html`<p class="quiet">No line.</p>`;
  const scrolled = ({ target }) => {
    atEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < AT_END;
  };
  return html`<ol class="log" tabindex="0" aria-label="Log" ref=${list} onScroll=${scrolled}>${lines.map((line) => html`
    <li class=${(line.level ?? "").toLowerCase()}><time>${timeText(line.t)}</time>
      ${" "}<span class="level">${line.level ?? ""}</span>${" "}<span class="source">${line.service ?? line.entry ?? ""}</span>
      ${" "}<span class="text">${line.message ?? ""}</span>${" "}<span class="quiet">${fieldsText(line)}</span></li>`)}</ol>`;
}

/** The lines that were read, and those that came since. */
export function withNewLines(read, isMeant) {
  const last = read[read.length - 1]?.t ?? 0;
  return [...read, ...live.newLines.filter((line) => line.t > last && isMeant(line))];
}

export function LogView() {
  useTopic(live, "log");
  const [service, setService] = useState("");
  const [level, setLevel] = useState("");
  const log = useRead(() => readLog({ service, level, lines: LOG_LINES }), [service, level]);
  useEffect(() => live.listen("resumed", log.again), []);
  const isMeant = (line) => (!service || line.service === service)
    && LEVELS.indexOf((line.level ?? "").toLowerCase()) >= LEVELS.indexOf(level);
  const lines = withNewLines(log.value?.lines ?? [], isMeant).slice(-2 * LOG_LINES);
  const select = (label, value, set, options) => html`<label>${label} <select value=${value}
    onChange=${(event) => set(event.target.value)}><option value="">all</option>${options.map((option) =>
      html`<option value=${option}>${option}</option>`)}</select></label>`;
  return html`<h1>Log</h1>
    <form class="bar" onSubmit=${(event) => event.preventDefault()}>
      ${select("Service", service, setService, ownServices())}
      ${select("At least", level, setLevel, LEVELS.slice(1))}
      <button class="plain" onClick=${log.again}>Read again</button></form>
    <${Failure} error=${log.error} />
    <${LogLines} lines=${lines} />`;
}
