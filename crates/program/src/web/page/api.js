// The HTTP API of the web process, as functions. Every failure is a `Problem` with words for people.

/** A refusal or a failure: what the server said, or that it could not be reached. */
export class Problem extends Error {
  constructor(title, { detail = "", status = 0, python = null } = {}) {
    super(detail || title);
    Object.assign(this, { title, detail, status, python });
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Problem("The web process cannot be reached.", {
      detail: "The web process of the lab cannot be reached. What you entered is kept: try again.",
    });
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Problem(said.title || `${answer.status} ${answer.statusText}`, {
      ...said, status: answer.status,
    });
  }
  return answer.status === 204 ? null : answer.json();
}

const change = (method, path, body) =>
  ask(path, {
    method,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Ferrolab": "1" },
  });

const named = (name) => `/api/services/${encodeURIComponent(name)}`;
const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return new URLSearchParams(given).toString();
};

export const readSession = () => ask("/api/session");
export const readLab = () => ask("/api/lab");
export const readService = (name) => ask(named(name));
export const readMember = (name, member) =>
  ask(`${named(name)}/members/${encodeURIComponent(member)}`);
export const setMember = (name, member, value) =>
  change("PUT", `${named(name)}/members/${encodeURIComponent(member)}`, { value });
export const callMethod = (name, member, args, kwargs) =>
  change("POST", `${named(name)}/call/${encodeURIComponent(member)}`, { args, kwargs });
export const lockService = (name, wait) => change("POST", `${named(name)}/lock`, { wait });
export const unlockService = (name) => change("POST", `${named(name)}/unlock`, {});
export const breakLock = (name, reason) => change("POST", `${named(name)}/break`, { reason });
export const readHistory = (values) => ask(`/api/history?${query(values)}`);
export const historyFile = (values) => `/api/history?${query({ ...values, format: "csv" })}`;
export const readLog = (values) => ask(`/api/logs?${query(values)}`);
export const readCalls = () => ask("/api/calls");
export const readCallHistory = (values) => ask(`/api/calls/history?${query(values)}`);
export const logIn = (token) => change("POST", "/api/login", { token });
export const logInByCode = (code) => change("POST", "/api/login", { code });
export const logOut = () => change("POST", "/api/logout", {});
export const acknowledge = (service, member) =>
  change("POST", "/api/alarms/ack", { service, member });
