// The lab as the page knows it: one snapshot, kept up to date by one stream of events.
// Owns the connection, its state, and the difference between the server's clock and the browser's.

import { readLab, readSession } from "./api.js";

/** The server sends a tick each second: without one for this long the connection counts as lost. */
const SILENCE_SECONDS = 1.7;
/** Time between two looks at that. With the silence it is less than the 2 s in which an outage is said. */
const LOOK_MILLISECONDS = 250;
/** A stream that the browser does not open again by itself is opened again after this. */
const REOPEN_MILLISECONDS = 1000;
/** A slow network has this long for the first byte of a stream. */
const CONNECT_MILLISECONDS = 8000;
/** Samples of a series that are kept for plots of labs without a history. */
export const RECENT_SAMPLES = 600;

/** Lines of the log that are kept while the page is open. */
const RECENT_LINES = 500;

export const seriesKey = (service, member) => `${service}\n${member}`;

class Live {
  /** `connecting`, `live`, or `lost` with the time of the last news. */
  state = "connecting";
  lastNews = 0;
  error = null;
  lab = null;
  services = new Map();
  daemons = new Map();
  nameservers = new Map();
  processes = new Map();
  /** Other labs beside this one; their instruments are in `services`, each with its `lab`. */
  labs = new Map();
  alarms = [];
  newLines = [];
  series = new Map();
  seriesOf = new Map();
  clockAhead = 0;
  #listeners = new Map();
  #changed = new Set();
  #source = null;
  #openedAt = 0;
  /** The last event of a lab that has been loaded, */
  #lastId = "";
  #isLoaded = false;
  /** and events that came while a snapshot was on its way. */
  #later = new Set();
  #retry = 0;
  #failed = false;

  /** Server time in Unix seconds. */
  now() {
    return Date.now() / 1000 + this.clockAhead;
  }

  /** Calls `listener` after a change of `topic`; returns the function that ends it. */
  listen(topic, listener) {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Tells the listeners of a topic at the next frame, however often it changes until then. */
  touch(topic) {
    if (this.#changed.size === 0) requestAnimationFrame(() => this.#tell());
    this.#changed.add(topic);
  }

  #tell() {
    const topics = [...this.#changed];
    this.#changed.clear();
    for (const topic of topics) {
      for (const listener of [...(this.#listeners.get(topic) ?? [])]) listener();
    }
  }

  start() {
    this.#open();
    setInterval(() => this.#watch(), LOOK_MILLISECONDS);
  }

  /** Opens the stream anew, as another user. */
  restart() {
    [this.#lastId, this.#isLoaded] = ["", false];
    this.#open();
  }

  #open() {
    this.#source?.close();
    this.#openedAt = performance.now();
    this.#failed = false;
    const after = this.#lastId ? `?after=${encodeURIComponent(this.#lastId)}` : "";
    const source = new EventSource(`/api/stream${after}`);
    this.#source = source;
    const on = (name, act) =>
      source.addEventListener(name, (event) => this.#news(source, () => {
        const data = JSON.parse(event.data);
        act(data);
        // A snapshot on its way may be older than this event.
        if (["lab", "labs", "sample", "alarm"].includes(name)) for (const later of this.#later) later.push(() => act(data));
        this.#lastId = this.#isLoaded ? event.lastEventId : "";
      }));
    // A stream without a place to go on from begins with `reset`.
    source.addEventListener("open", () => this.#news(source, () => {}));
    on("tick", ({ now }) => this.#setClock(now));
    on("lab", (change) => this.#merge(change));
    on("labs", ({ labs, values = [], ...change }) => {
      this.#merge(labs ? { ...change, others: labs } : change);
      values.forEach((sample) => this.#addSample(sample));
    });
    on("sample", (samples) => samples.forEach((sample) => this.#addSample(sample)));
    on("alarm", ({ alarms }) => {
      this.alarms = alarms;
      this.touch("alarms");
    });
    on("log", (lines) => this.#addLog(lines));
    on("reset", () => {
      this.#isLoaded = false;
      for (const { recent } of this.series.values()) {
        const last = recent[recent.length - 1];
        // What came meanwhile is not known here: no line across it.
        if (last && last.value !== null) recent.push({ t: last.t + 0.001, value: null });
      }
      this.load().then(() => this.touch("resumed"));
    });
    source.addEventListener("error", () => {
      if (this.#source !== source) return;
      this.#failed = true;
      if (this.state !== "connecting") this.#lose();
    });
  }

  #news(source, act) {
    if (source !== this.#source) return;
    this.lastNews = performance.now();
    if (this.state !== "live") {
      const returns = this.state === "lost";
      this.#setState("live");
      if (returns) this.touch("resumed");
    }
    act();
  }

  #watch() {
    const silent = (performance.now() - this.lastNews) / 1000;
    if (this.state === "live" && silent > SILENCE_SECONDS) this.#lose();
    const isDead = this.#source.readyState === EventSource.CLOSED || this.state === "lost";
    const opened = performance.now() - this.#openedAt;
    const connects = this.#source.readyState === EventSource.CONNECTING && !this.#failed;
    const wait = connects ? CONNECT_MILLISECONDS : REOPEN_MILLISECONDS;
    // A half-open connection never ends by itself, and one that was refused is not tried again.
    if (this.state !== "live" && isDead && opened > wait) this.#open();
    this.touch("tick");
  }

  #lose() {
    if (this.state === "lost") return;
    this.lostAt = this.now();
    this.#setState("lost");
  }

  #setState(state) {
    this.state = state;
    document.documentElement.dataset.connection = state;
    this.touch("connection");
  }

  #setClock(now) {
    this.clockAhead = now - Date.now() / 1000;
  }

  /** Reads the whole lab anew. */
  async load() {
    const later = [];
    this.#later.add(later);
    clearTimeout(this.#retry);
    try {
      const lab = await readLab();
      this.error = null;
      this.#setClock(lab.now);
      this.lab = lab;
      this.labs = new Map((lab.labs ?? []).map((row) => [row.name, row]));
      const services = [...lab.services, ...(lab.labs ?? []).flatMap((other) => other.services)];
      this.services = new Map(services.map((row) => [row.name, row]));
      const pids = this.daemons;
      this.daemons = new Map(lab.daemons.map((row) => [row.name, row]));
      const isAnew = (daemon) => pids.has(daemon) && pids.get(daemon).pid !== this.daemons.get(daemon)?.pid;
      this.nameservers = new Map((lab.nameservers ?? []).map((row) => [row.name, row]));
      this.processes = new Map((lab.processes ?? []).map((row) => [row.name, row]));
      this.alarms = lab.alarms ?? [];
      const told = new Set(services.flatMap((row) => (row.series ?? []).map((one) => seriesKey(row.name, one.member))));
      for (const [key, series] of this.series) {
        if (told.has(key)) continue;
        Object.assign(series, { value: null, quality: "no data", seq: null, begins: true });
        this.touch(`series ${key}`);
      }
      for (const row of services) {
        if (isAnew(row.daemon)) for (const series of this.seriesOf.get(row.name) ?? []) series.begins = true;
        this.#addSeries(row);
      }
      this.#isLoaded = true;
      later.forEach((act) => act());
      for (const name of this.services.keys()) this.touch(`service ${name}`);
      this.touch("alarms");
    } catch (error) {
      this.error = error;
      this.#retry = setTimeout(() => this.load(), REOPEN_MILLISECONDS);
    } finally {
      this.#later.delete(later);
    }
    this.touch("lab");
  }

  #merge(change) {
    let isNew = false;
    for (const [rows, kept] of [["services", this.services], ["daemons", this.daemons],
      ["nameservers", this.nameservers], ["processes", this.processes], ["others", this.labs]]) {
      for (const row of change[rows] ?? []) {
        isNew ||= !kept.has(row.name) || String(row.tags) !== String(kept.get(row.name).tags);
        const owner = (one) => `${one?.lock?.owner?.epoch} ${one?.lock?.owner?.away}`;
        if (rows === "services" && !row.lab && owner(row) !== owner(kept.get(row.name))) this.#readLocks();
        kept.set(row.name, row);
        if (rows === "services") {
          this.#addSeries(row);
          this.touch(`service ${row.name}`);
          this.touch("services");
        }
      }
    }
    for (const [rows, names] of Object.entries(change.removed ?? {})) {
      for (const name of names) this[rows]?.delete(name);
      if (rows === "services") names.forEach((name) => this.touch(`service ${name}`));
      isNew = true;
    }
    for (const key of ["problems", "supervisor"]) {
      if (change[key] && this.lab) this.lab[key] = change[key];
    }
    if (isNew || Object.keys(change).some((key) => key !== "services")) this.touch("lab");
  }

  /** Which locks are this browser's: another tab, or the server after a restart, may have taken them. */
  #readLocks() {
    readSession().then(({ locks }) => {
      if (!this.lab) return;
      this.lab.locks = locks;
      for (const name of this.services.keys()) this.touch(`service ${name}`);
      this.touch("lab");
    }, () => {});
  }

  #addSeries(row) {
    for (const sample of row.series ?? []) this.#addSample({ service: row.name, ...sample });
  }

  #addSample(sample) {
    const key = seriesKey(sample.service, sample.member);
    let series = this.series.get(key);
    if (!series) {
      series = { key, service: sample.service, member: sample.member, recent: [] };
      this.series.set(key, series);
      const members = this.seriesOf.get(sample.service) ?? [];
      this.seriesOf.set(sample.service, [...members, series]);
      this.touch(`service ${sample.service}`);
    }
    if (series.seq === sample.seq && series.t === sample.t) return;
    // The samples of another process of the daemon: no line from what the last one has read, also
    // where the page has missed the end of that and the history does not know of it yet.
    const begins = series.begins || sample.seq < series.seq;
    if (begins && series.recent.length) series.recent.push({ t: sample.t - 0.001, value: null });
    Object.assign(series, sample, { begins: false });
    series.recent.push({ t: sample.t, value: sample.value, quality: sample.quality });
    while (series.recent.length > RECENT_SAMPLES) series.recent.shift();
    this.touch(`series ${key}`);
  }

  /** Lines of the log that came while the page is open; the log's view reads the older ones. */
  #addLog(lines) {
    this.newLines = [...this.newLines, ...lines].slice(-RECENT_LINES);
    this.touch("log");
  }
}

/** The one lab of this page. */
export const live = new Live();
