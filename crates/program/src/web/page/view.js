// What every view is made of: Preact and htm under one name, and the hooks that tie a component to live data.

import { html, render, useCallback, useEffect, useMemo, useRef, useState }
  from "./vendor/htm-preact.js";

export { html, render, useCallback, useEffect, useMemo, useRef, useState };

/** Draws a component anew whenever `topic` of a source changes, at most once a frame. */
export function useTopic(source, topic) {
  const [, draw] = useState(0);
  useEffect(() => source.listen(topic, () => draw((count) => count + 1)), [source, topic]);
}

/** The result of an asynchronous read: `{ value, error, again }`; read anew when a key changes. */
export function useRead(read, keys) {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    read().then(
      (value) => current && setState({ value }),
      (error) => current && setState((before) => ({ value: before.value, error })),
    );
    return () => { current = false; };
  }, [...keys, round]);
  return { ...state, again: () => setRound((count) => count + 1) };
}

/** A route of the page: the part of its address after `#`. */
export function useRoute() {
  const [route, setRoute] = useState(location.hash);
  useEffect(() => {
    const changed = () => setRoute(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
