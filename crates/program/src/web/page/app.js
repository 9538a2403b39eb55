// The page: its frame, its routes and its connection's state. Views are in files of their own.

import { logIn, logInByCode, logOut } from "./api.js";
import { AlarmsView, CallsView, LocksView, LogView } from "./lists.js";
import { InstrumentView } from "./instrument.js";
import { LabView } from "./lab.js";
import { live } from "./live.js";
import { Age, Dialog, Failure } from "./parts.js";
import { html, render, useEffect, useRoute, useState, useTopic } from "./view.js";

const VIEWS = [
  ["", "Lab", LabView],
  ["calls", "Calls", CallsView],
  ["locks", "Locks", LocksView],
  ["alarms", "Alarms", AlarmsView],
  ["log", "Log", LogView],
];
/** Kept in the browser: a person's choice of `light` or `dark`; without one the system's holds. */
const THEME = "ferrolab-theme";

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function ThemeButton() {
  const [theme, setTheme] = useState(localStorage.getItem(THEME));
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const turn = () => {
    const next = dark ? "light" : "dark";
    localStorage.setItem(THEME, next);
    applyTheme(next);
    setTheme(next);
  };
  return html`<button class="plain" onClick=${turn} aria-label=${`Use ${dark ? "light" : "dark"} colours`}>
    ${dark ? "☀" : "☾"}</button>`;
}

/** The person whose calls these are, and the way to be somebody else. */
function User() {
  const [asks, setAsks] = useState(false);
  const [token, setToken] = useState("");
  const [error, setError] = useState(null);
  useTopic(live, "lab");
  if (!live.lab) return null;
  const done = () => {
    setAsks(false);
    setToken("");
    setError(null);
    live.restart();
  };
  const send = (event) => {
    event.preventDefault();
    logIn(token).then(done, setError);
  };
  if (live.lab.logged_in) {
    return html`<span class="user">${live.lab.user}</span>
      <button class="plain" onClick=${() => logOut().then(done, setError)}>Log out</button>`;
  }
  return html`<button class="plain" onClick=${() => setAsks(true)}>Log in</button>
    ${asks && html`<${Dialog} title="Log in" onClose=${() => setAsks(false)}>
      <p>With the token that <code>ferrolab login</code> has kept on your machine, or by the link that
        <code>ferrolab user add NAME --link</code> prints on the lab's host. Your calls are then yours, with your
        rights.</p>
      <form onSubmit=${send}><label>Token
        <input type="password" autocomplete="off" required value=${token}
          onInput=${(event) => setToken(event.target.value)} /></label>
        <${Failure} error=${error} />
        <div class="bar"><button>Log in</button>
          <button type="button" class="plain" onClick=${() => setAsks(false)}>Cancel</button></div></form><//>`}`;
}

function Connection() {
  useTopic(live, "connection");
  useTopic(live, "lab");
  if (live.state === "live") {
    return html`<span class="connection good" role="status"><span class="dot"></span> live</span>`;
  }
  if (live.state === "connecting") {
    return html`<span class="connection" role="status">connecting …</span>`;
  }
  return html`<span class="connection bad" role="status"><span class="dot"></span> not connected</span>`;
}

/** The login of a link: its code is taken out of the address before anything else, and sent once. */
const byLink = { error: null };

function takeCode() {
  const code = /^#\/login\/([\w-]+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, "", "#/");
  return code;
}

async function logInByLink() {
  const code = takeCode();
  if (!code) return;
  byLink.error = null;
  await logInByCode(code).catch((error) => { byLink.error = error; });
  live.touch("connection");
}

/** Says that the login of a link was refused. */
function LinkRefused() {
  useTopic(live, "connection");
  if (!byLink.error) return null;
  const close = () => {
    byLink.error = null;
    live.touch("connection");
  };
  return html`<div class="banner bad still" role="alert">${byLink.error.message}
    ${" "}<button class="plain" onClick=${close}>Close</button></div>`;
}

/** Says across the page that nothing on it is news. */
function Outage() {
  useTopic(live, "connection");
  useTopic(live, "lab");
  if (live.state === "lost") {
    return html`<div class="banner bad"><span role="alert">The lab's web process cannot be reached: all values are as
      they were. The page connects again by itself.</span> (<${Age} since=${live.lostAt} />)</div>`;
  }
  if (live.lab?.supervisor && !live.lab.supervisor.up) {
    return html`<div class="banner bad" role="alert">The lab's supervisor does not answer: states and calls are
      old. ${live.lab.supervisor.error}</div>`;
  }
  if (live.error) return html`<div class="banner bad" role="alert">${live.error.message}</div>`;
  if (live.lab?.hidden) return html`<div class="banner" role="note">${live.lab.hidden}</div>`;
  if (live.lab?.readonly) {
    return html`<div class="banner" role="note">Read-only: ${live.lab.readonly_reason
      ?? "this page cannot drive instruments from this address."}</div>`;
  }
  return null;
}

/** The name in a route; of one that somebody has mistyped, the text itself. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How far the lab's view was scrolled when it was left. */
let labScroll = 0;
let shownRoute = null;

/** A view begins at its top, the lab's where it was left. The focus goes there too, unless it is in the menu. */
function enterView(route) {
  const isFirst = shownRoute === null;
  shownRoute = route;
  if (isFirst) return;
  scrollTo(0, isLab(route) ? labScroll : 0);
  const focused = document.activeElement;
  if (!focused || focused === document.body) document.querySelector("#main")?.focus({ preventScroll: true });
}

const isLab = (route) => /^#?\/?$/.test(route ?? "");

function Frame() {
  const route = useRoute();
  useTopic(live, "lab");
  useTopic(live, "alarms");
  const [, first = "", second = ""] = route.split("/");
  const View = (VIEWS.find(([path]) => path === first) ?? VIEWS[0])[2];
  const firing = live.alarms.filter((alarm) => alarm.state === "firing" || alarm.state === "no data").length;
  const name = first === "service" ? decoded(second) : null;
  useEffect(() => enterView(route), [route]);
  useEffect(() => {
    const title = name ?? (first && VIEWS.find(([path]) => path === first)?.[1]);
    document.title = `${firing ? `(${firing}) ` : ""}${title ? `${title} · ` : ""}${live.lab?.host ?? ""} Ferrolab`;
  });
  return html`
    <header>
      <a class="brand" href="#/"><img src="/page/icon.svg" alt="" width="24" height="24" /> ${live.lab?.host ?? "Ferrolab"}</a>
      <nav aria-label="Views">${VIEWS.map(([path, title]) => html`
        <a href=${`#/${path}`} aria-current=${!name && path === first ? "page" : undefined}>${title}${
          path === "alarms" && firing ? html` <span class="count">${firing}</span>` : ""}</a>`)}</nav>
      <span class="right"><${User} /><${Connection} /><${ThemeButton} /></span>
    </header>
    <${LinkRefused} />
    <${Outage} />
    <main id="main" tabindex="-1">${!live.lab
      ? html`<p class="loading" role="status">Loading the lab …</p>`
      : name ? html`<${InstrumentView} key=${name} name=${name} />` : html`<${View} key=${first} />`}</main>`;
}

/** `/` goes to the search, as on other pages. */
function onKey(event) {
  const field = event.target.closest?.("input, textarea, select");
  if (event.key === "/" && !field && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("#search");
    if (search) {
      search.focus();
      event.preventDefault();
    }
  }
}

applyTheme(localStorage.getItem(THEME));
// The link is no route: it only moves the focus.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector("#main")?.focus();
});
addEventListener("keydown", onKey);
const root = document.querySelector("#app");
history.scrollRestoration = "manual";
addEventListener("hashchange", () => {
  if (isLab(shownRoute)) labScroll = scrollY;
});
// A link that is opened in a tab which has the page already.
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/login/")) logInByLink().then(() => live.restart());
});
root.textContent = "";
// The code is away before the first view is drawn for this address.
const loggedIn = logInByLink();
render(html`<${Frame} />`, root);
loggedIn.then(() => live.start());
