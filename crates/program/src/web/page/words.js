// Numbers, times and values as people read them. Knows no elements of the page.

/** Items of a list that are shown. */
const SHOWN_ITEMS = 8;

/** A value in few characters: `3.142`, `"on"`, `[1, 2, … 500 items]`. */
export function valueText(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return numberText(value);
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    const shown = value.slice(0, SHOWN_ITEMS).map(valueText).join(", ");
    return value.length > SHOWN_ITEMS ? `[${shown}, … ${value.length} items]` : `[${shown}]`;
  }
  if (value["@type"] === "complex") return `${valueText(value.real)} + ${valueText(value.imag)}j`;
  if (value["@type"] === "float") return String(value.value);
  if (value["@type"] === "int") return String(value.value);
  if (value["@type"] === "bytes") return `${value.length ?? ""} bytes`.trim();
  if (value["@type"] === "array") return `array of ${value.dtype}, ${shapeText(value.shape)}`;
  if (value["@type"] === "tuple") return valueText(value.items).replace(/^\[(.*)\]$/s, "($1)");
  if (value["@type"] === "set" || value["@type"] === "frozenset") return valueText(value.items).replace(/^\[(.*)\]$/s, "{$1}");
  if (value["@type"] === "object") return value.uri;
  return JSON.stringify(value, null, 1);
}

/** Characters of a result that are shown: more of them make a browser slow, and nobody reads them. */
const SHOWN_CHARACTERS = 20_000;

/** The text of a result, and whether it says all of the value. */
export function shownText(value) {
  // The digits of a measurement all count for somebody.
  const text = typeof value === "number" ? String(value) : valueText(value);
  const isCut = text.length > SHOWN_CHARACTERS;
  const shown = isCut ? `${text.slice(0, SHOWN_CHARACTERS)}\n… ${text.length} characters in all` : text;
  return { text: shown, isWhole: !isCut && saysAll(value) };
}

/** Whether `valueText` leaves nothing out. */
function saysAll(value) {
  const items = value?.["@type"] ? value.items : value;
  return !Array.isArray(items) || (items.length <= SHOWN_ITEMS && items.every(saysAll));
}

/** A number with at most six digits that count. */
export function numberText(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e9) return String(number);
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return number.toExponential(4);
  return String(Number(number.toPrecision(6)));
}

export const shapeText = (shape) => (shape ?? []).join(" × ") || "one value";

/** A duration in one or two units: `4 s`, `3 min`, `2 h 5 min`. */
export function durationText(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

/** The local date and time of Unix seconds. */
export const timeText = (seconds) =>
  seconds ? new Date(seconds * 1000).toLocaleString([], { hour12: false }) : "-";

/** The JSON type of a schema in a word: `number`, `one of "a", "b"`, `list of number`. */
export function typeText(schema = {}) {
  if (schema.enum) return `one of ${schema.enum.map(valueText).join(", ")}`;
  if (schema.anyOf) return schema.anyOf.map(typeText).join(" or ");
  if (Array.isArray(schema.type)) return schema.type.join(" or ");
  if (schema.type === "array") return schema.items ? `list of ${typeText(schema.items)}` : "list";
  if (schema.type === "null") return "None";
  return schema.type ?? "any value";
}

/** The limits of a schema: `0 to 30 V`, `at least 1`, or an empty text. */
export function limitText(schema = {}) {
  const { minimum, maximum, unit = "" } = schema.items ? { ...schema.items, ...schema } : schema;
  const has = (value) => value !== undefined;
  const text = has(minimum) && has(maximum) ? `${minimum} to ${maximum}`
    : has(minimum) ? `at least ${minimum}` : has(maximum) ? `at most ${maximum}` : "";
  return text && unit ? `${text} ${unit}` : text;
}

/** The value of an entered text under a schema, or an Error that says what was expected. */
export function parseEntered(text, schema = {}) {
  const kinds = schema.anyOf ? schema.anyOf.map((one) => one.type) : [].concat(schema.type ?? []);
  const trimmed = text.trim();
  if (kinds.includes("null") && (trimmed === "" || trimmed === "None")) return null;
  if (kinds.includes("string") && kinds.every((kind) => kind === "string" || kind === "null")) return text;
  if (kinds.includes("boolean") && /^(true|false)$/i.test(trimmed)) return /^t/i.test(trimmed);
  if (kinds.includes("integer") && /^[+-]?\d+$/.test(trimmed)) return checkedNumber(trimmed, schema);
  if (kinds.includes("number") && trimmed !== "" && !Number.isNaN(Number(trimmed))) return checkedNumber(trimmed, schema);
  const choice = (schema.anyOf ?? []).flatMap((one) => one.enum ?? []).find((one) => valueText(one) === trimmed);
  if (choice !== undefined) return choice;
  if (kinds.length && kinds.every((kind) => ["number", "integer", "null"].includes(kind))) {
    throw new Error(`A ${kinds.includes("number") ? "" : "whole "}number is expected, not “${text}”.`);
  }
  if (kinds.includes("string")) return text;
  if (kinds.length && !kinds.includes(undefined)) return literal(trimmed, `A ${typeText(schema)} is expected, as JSON.`);
  return anyValue(trimmed, text);
}

function checkedNumber(text, schema) {
  const number = Number(text);
  const { minimum = -Infinity, maximum = Infinity } = schema;
  if (number < minimum || number > maximum) {
    throw new Error(`Must be ${limitText(schema)}, not ${text}.`);
  }
  return exact(number, text);
}

/** JSON has no infinity, and an integer beyond 2^53 would change on its way: both travel as text. */
function exact(number, source) {
  if (/^[+-]?\d+$/.test(source) && !Number.isSafeInteger(number)) {
    return { "@type": "int", value: source.replace("+", "") };
  }
  return Number.isFinite(number) ? number : { "@type": "float", value: String(number) };
}

/** The value of a JSON text, with every number as it is written. */
export const parseExact = (text) => JSON.parse(text, (_, value, context) =>
  typeof value === "number" ? exact(value, context?.source ?? "") : value);

function literal(text, otherwise) {
  try {
    return parseExact(text);
  } catch {
    throw new Error(otherwise);
  }
}

/** As the command line reads an argument: a literal, or else the text itself. */
function anyValue(trimmed, text) {
  const words = { True: true, False: false, None: null };
  if (Object.hasOwn(words, trimmed)) return words[trimmed];
  try {
    return parseExact(trimmed);
  } catch {
    return text;
  }
}
