// A plot of series over time: history behind, live samples in front, gaps drawn as gaps.

import { historyFile, readHistory } from "./api.js";
import { RECENT_SAMPLES, live } from "./live.js";
import { html, useEffect, useRef, useState } from "./view.js";
import { numberText, timeText } from "./words.js";

const RANGES = [[600, "10 min"], [3600, "1 h"], [6 * 3600, "6 h"], [86400, "1 d"], [7 * 86400, "7 d"]];
const COLOURS = ["#0a7d8c", "#c2540a", "#6b4fbb", "#2f7d32", "#b3261e", "#7a5c00", "#1565c0", "#ad1457"];
const POINTS = 1000;
/** A plot that follows the present is drawn this often. */
const DRAW_MILLISECONDS = 250;
const HEIGHT = 260;
/** Reads of the history after an outage, at most, until it has the samples of the outage. */
const MAX_HISTORY_READS = 15;
/** Pauses between two reads of the history: the first one, and the longest. */
const READ_PAUSE_MILLISECONDS = 2000;
const MAX_READ_PAUSE_MILLISECONDS = 30_000;

/** Labels of the time axis, from years to seconds, with 24 hours a day (uPlot's default has 12). */
const TIME_LABELS = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{DD}.{MM}.", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{DD}.{MM}.{YYYY}", null, "\n{DD}.{MM}.", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{DD}.{MM}.{YYYY}", null, "\n{DD}.{MM}.", null, null, null, 1],
  [0.001, ":{ss}.{fff}", "\n{DD}.{MM}.{YYYY} {HH}:{mm}", null, "\n{DD}.{MM}. {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
];

const isNumber = (value) => typeof value === "number" || typeof value === "boolean";

/** One series of a plot: columns of times (Unix seconds) and values; `null` is a gap. */
class Line {
  constructor(series) {
    // `resumed`: time of the newest good sample when the connection was back; `hasResumed`: whether
    // the history has that one, and with it all of the outage.
    Object.assign(this, { series, t: [], mean: [], min: [], max: [], resumed: -Infinity, hasResumed: true });
  }

  add(t, mean, min = mean, max = mean) {
    if (this.t.length && t <= this.t[this.t.length - 1]) return;
    this.t.push(t);
    this.mean.push(mean);
    this.min.push(min);
    this.max.push(max);
  }

  addSample({ t, value, quality }) {
    const good = (quality ?? "good") === "good" && isNumber(value);
    this.add(t, good ? Number(value) : null);
  }

  async load(start, end) {
    const { service, member } = this.series;
    let past = null;
    try {
      // The history of another lab is on its own host.
      if (!live.services.get(service)?.lab) past = await readHistory({ service, member, start, end, points: POINTS });
    } catch (error) {
      // A lab without a history: the page draws what it has seen itself.
      if (error.status !== 404) throw error;
    }
    // Not before: samples that come meanwhile would keep older ones out.
    Object.assign(this, { t: [], mean: [], min: [], max: [], stored: past !== null });
    past?.t.forEach((t, at) => this.add(t, past.mean[at], past.min[at], past.max[at]));
    const last = this.t[this.t.length - 1] ?? -Infinity;
    this.hasResumed = (past?.newest ?? Infinity) >= this.resumed;
    for (const sample of this.series.recent) {
      if (sample.t > last && sample.t >= start && sample.t <= end) this.addSample(sample);
    }
  }

  /** The connection is back after an outage. */
  resume() {
    const good = this.series.recent.filter(({ value, quality }) => value !== null && (quality ?? "good") === "good");
    this.resumed = good[good.length - 1]?.t ?? -Infinity;
  }

  /** Takes up what has come since the last look; a hidden tab is told of many samples at once. */
  follow() {
    for (const sample of this.series.recent) this.addSample(sample);
  }

  /** Forgets what is long before `start`. */
  trim(start) {
    const gone = this.t.findIndex((t) => t >= start);
    if (gone > 2000) for (const column of this.columns()) column.splice(0, gone - 1);
  }

  columns() {
    return [this.t, this.mean, this.min, this.max];
  }
}

function options(lines, width, onZoom) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const grid = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
  const units = [...new Set(lines.map((line) => line.series.unit ?? ""))];
  const series = [{ value: (_, t) => (t == null ? "–" : timeText(t)) }];
  const bands = [];
  lines.forEach((line, at) => {
    const colour = COLOURS[at % COLOURS.length];
    const unit = line.series.unit ?? "";
    const first = series.length;
    const value = (_, number) => (number == null ? "–" : `${numberText(number)} ${unit}`);
    const label = line.label;
    series.push({ label, stroke: colour, width: 1.5, scale: unit || "y", spanGaps: false, value });
    for (const end of ["min", "max"]) {
      series.push({ label: `${label} ${end}`, stroke: "transparent", scale: unit || "y", spanGaps: false,
        points: { show: false }, class: "hidden" });
    }
    bands.push({ series: [first + 2, first + 1], fill: `${colour}33` });
  });
  const axes = [{ stroke: ink, grid, ticks: grid, values: TIME_LABELS }];
  units.forEach((unit, at) => axes.push({
    scale: unit || "y", label: unit || undefined, side: at % 2 ? 1 : 3, stroke: ink, ticks: grid,
    grid: at ? { show: false } : grid, size: 64,
    values: (_, numbers) => numbers.map((number) => (number == null ? "" : numberText(number))),
  }));
  return {
    width, height: HEIGHT, series, bands, axes, ms: 1e-3,
    scales: { x: { time: true } },
    cursor: { drag: { x: true, y: false } },
    hooks: { setSelect: [(plot) => {
      if (plot.select.width > 4) {
        onZoom(plot.posToVal(plot.select.left, "x"),
          plot.posToVal(plot.select.left + plot.select.width, "x"));
      }
    }] },
  };
}

/** Columns of all lines over one column of times. A time that another line has only is no gap. */
function joined(lines) {
  if (lines.length === 0) return [[]];
  return lines.length === 1 ? lines[0].columns() : uPlot.join(lines.map((line) => line.columns()));
}

/** A plot of one or several series, with its time range, zoom, steps and export. */
export function TimePlot({ series, title }) {
  const [range, setRange] = useState({ span: RANGES[0][0] });
  const [error, setError] = useState(null);
  const [stored, setStored] = useState(true);
  const place = useRef();
  const keys = series.map((one) => one.key).join("\n");
  const ends = () => (range.start ? [range.start, range.end] : [live.now() - range.span, live.now()]);

  useEffect(() => {
    let plot = null;
    let ended = false;
    let again = 0;
    let reads = 0;
    let pause = READ_PAUSE_MILLISECONDS;
    const lines = series.map((one) => new Line(one));
    const members = new Set(series.map((one) => one.service)).size > 1;
    for (const line of lines) {
      line.label = members ? `${line.series.service} ${line.series.member}` : line.series.member;
    }
    const zoom = (start, end) => setRange({ start, end });
    const draw = () => {
      if (ended || !place.current) return;
      const [start, end] = ends();
      if (!range.start) lines.forEach((line) => line.trim(start));
      const width = place.current.clientWidth || 600;
      if (!plot) plot = new uPlot(options(lines, width, zoom), joined(lines), place.current);
      else plot.setData(joined(lines), false);
      plot.setScale("x", { min: start, max: end });
    };
    const load = () => Promise.all(lines.map((line) => line.load(...ends()))).then(() => {
      if (ended) return;
      setError(null);
      setStored(lines.every((line) => line.stored));
      draw();
      // On a busy host the history learns of samples later than the page: the plot still has a hole.
      if (lines.every((line) => line.hasResumed) || ++reads >= MAX_HISTORY_READS) return;
      clearTimeout(again);
      again = setTimeout(load, pause);
      pause = Math.min(2 * pause, MAX_READ_PAUSE_MILLISECONDS);
    }, (failure) => {
      if (ended) return;
      setError(failure);
      // After a restart of the host the history comes later than the page.
      clearTimeout(again);
      again = setTimeout(load, READ_PAUSE_MILLISECONDS);
    });
    load();
    const undo = [live.listen("resumed", () => {
      [reads, pause] = [0, READ_PAUSE_MILLISECONDS];
      for (const line of lines) line.resume();
      load();
    })];
    for (const line of lines) {
      undo.push(live.listen(`series ${line.series.key}`, () => {
        if (range.start) return;
        const last = line.t[line.t.length - 1] ?? -Infinity;
        // More have come than are kept here: the history has them.
        if (plot && line.series.recent.length >= RECENT_SAMPLES && line.series.recent[0].t > last) load();
        else line.follow();
      }));
    }
    const timer = setInterval(() => {
      // While there is no news the plot stands still: what it showed was true then.
      if (!range.start && plot && live.state === "live" && !document.hidden) {
        draw();
      }
    }, DRAW_MILLISECONDS);
    const resize = new ResizeObserver(() => plot?.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    resize.observe(place.current);
    return () => {
      ended = true;
      clearInterval(timer);
      clearTimeout(again);
      resize.disconnect();
      undo.forEach((end) => end());
      plot?.destroy();
    };
  }, [keys, range]);

  const step = (share) => {
    const [start, end] = ends();
    const by = (end - start) * share;
    setRange({ start: start + by, end: end + by });
  };
  const [start, end] = ends();
  return html`<figure class="plot" aria-label=${title}>
    <figcaption>${title}</figcaption>
    <div class="bar">
      ${RANGES.map(([span, text]) => html`<button class="plain" aria-pressed=${!range.start && range.span === span}
        onClick=${() => setRange({ span })}>${text}</button>`)}
      <button class="plain" aria-label="Earlier" onClick=${() => step(-0.5)}>←</button>
      <button class="plain" aria-label="Later" onClick=${() => step(0.5)}>→</button>
      ${range.start && html`<span class="quiet">${timeText(range.start)} to ${timeText(range.end)}</span>`}
      ${stored ? series.map((one) => html`<a class="right" download href=${historyFile({
        service: one.service, member: one.member, start, end })} onClick=${(event) => {
          const [from, to] = ends();
          event.currentTarget.href = historyFile({ service: one.service, member: one.member, start: from, end: to, points: POINTS });
        }}>CSV${series.length > 1 ? ` ${one.member}` : ""}</a>`)
        : html`<span class="quiet right">${live.services.get(series[0]?.service)?.lab ? "The history is on the lab's own page" : "No history is configured"}: since the page was opened.</span>`}
    </div>
    ${error && html`<p class="message bad" role="alert">${error.message}</p>`}
    <div class="canvas" ref=${place}></div>
    <p class="quiet hint">Drag across the plot to zoom.</p>
  </figure>`;
}
