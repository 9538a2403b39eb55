// Forms from the service card: a field for each argument, a line for each property.

import { callMethod, readMember, setMember } from "./api.js";
import { Failure } from "./parts.js";
import { Files } from "./files.js";
import { Picture, arrayOfList } from "./picture.js";
import { html, useState } from "./view.js";
import { limitText, parseEntered, parseExact, shownText, typeText, valueText } from "./words.js";

/** The field for a value of a schema; the text that was entered is kept as it is. */
function Field({ id, schema = {}, text, onText, invalid, described }) {
  const shared = { id, "aria-invalid": invalid || undefined, "aria-describedby": described };
  const choices = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  if (choices) {
    return html`<select ...${shared} value=${text} onChange=${(event) => onText(event.target.value)}>
      <option value="">–</option>
      ${choices.map((choice) => html`<option value=${JSON.stringify(choice)}>${valueText(choice)}</option>`)}</select>`;
  }
  const isNumber = schema.type === "number" || schema.type === "integer";
  return html`<input ...${shared} type="text" inputmode=${isNumber ? "decimal" : undefined} autocomplete="off"
    spellcheck=${false} value=${text} placeholder=${schema.default === undefined ? "" : valueText(schema.default)}
    onInput=${(event) => onText(event.target.value)} />`;
}

function parsed(text, schema) {
  if (!schema.enum && schema.type !== "boolean") return parseEntered(text, schema);
  if (text === "") throw new Error("Choose one.");
  return JSON.parse(text);
}

function furtherArguments(text) {
  try {
    return parseExact(`[${text}]`);
  } catch {
    throw new Error("Further arguments are JSON values with commas between, as in: 1, \"fast\", [2, 3]");
  }
}

function hint(schema) {
  return [typeText(schema), limitText(schema) || schema.unit].filter(Boolean).join(", ");
}

/** A result: its text as far as people read it, its picture where it is one, and all of it as files. */
function Result({ value, unit, name }) {
  const isPicture = value?.["@type"] === "array" || arrayOfList(value);
  const { text, isWhole } = shownText(value);
  return html`<div class="result">
    <div role="status" aria-live="polite"><output>${text}${unit ? ` ${unit}` : ""}</output></div>
    ${isPicture && html`<${Picture} value=${value} name=${name} />`}
    ${value?.["@type"] !== "array" && html`<${Files} value=${value} name=${name} isWhole=${isWhole} />`}
  </div>`;
}

/** What an action has come to: nothing yet, running, a value, or a failure. The form keeps its texts. */
function useAction() {
  const [state, setState] = useState({});
  const act = async (work) => {
    setState({ runs: true });
    try {
      setState({ value: await work(), done: true });
    } catch (error) {
      setState({ error });
    }
  };
  return [state, act];
}

/** One property: read it, and where it can be written, set it. */
export function PropertyLine({ service, name, member, readonly }) {
  const [text, setText] = useState("");
  const [state, act] = useAction();
  const schema = member.value ?? {};
  const id = `set ${name}`;
  const set = (event) => {
    event.preventDefault();
    act(async () => {
      await setMember(service, name, parsed(text, schema));
      return undefined;
    });
  };
  return html`<div class="member">
    <div class="title"><code>${name}</code> <span class="quiet">${hint(schema)}</span></div>
    ${member.doc && html`<p class="doc">${member.doc}</p>`}
    <div class="bar">
      ${member.readable !== false && html`<button disabled=${readonly || state.runs}
        onClick=${() => act(async () => (await readMember(service, name)).value)}>Read</button>`}
      ${member.writable && html`<form class="bar" onSubmit=${set}>
        <label class="hidden" for=${id}>${`New value of ${name}`}</label>
        <${Field} id=${id} schema=${schema} text=${text} onText=${setText} invalid=${!!state.error} />
        <button disabled=${readonly || state.runs || (text === "" && (schema.type !== "string" || !!schema.enum))}>Set</button></form>`}
      ${state.runs && html`<span class="quiet" role="status">running …</span>`}
      ${state.done && state.value === undefined && html`<span role="status">set</span>`}
    </div>
    ${state.done && state.value !== undefined && html`<${Result} value=${state.value} unit=${schema.unit} name=${name} />`}
    <${Failure} error=${state.error} />
  </div>`;
}

/** One method: its arguments as fields, a button, its result. */
export function MethodForm({ service, name, member, readonly }) {
  const [texts, setTexts] = useState({});
  const [more, setMore] = useState(false);
  const [state, act] = useAction();
  const { properties = {}, required = [], additionalProperties } = member.arguments ?? {};
  // JSON has lost the order; arguments by name only come last.
  const place = (argument) => ((member.order ?? []).indexOf(argument) + 1) || Infinity;
  const inOrder = Object.entries(properties).sort(([one], [other]) => (place(one) < place(other) ? -1 : place(one) > place(other) ? 1 : 0));
  const others = additionalProperties === true || member.arguments === undefined || !member.arguments.properties;
  const call = (event) => {
    event.preventDefault();
    act(async () => {
      const kwargs = {};
      for (const [argument, schema] of inOrder) {
        const text = texts[argument] ?? "";
        if (text === "" && !required.includes(argument)) continue;
        try {
          kwargs[argument] = parsed(text, schema);
        } catch (error) {
          throw new Error(`${argument}: ${error.message}`);
        }
      }
      // By their places as far as all are given: some have no name that can be used.
      const args = [];
      for (const argument of member.order ?? []) {
        if (!(argument in kwargs)) break;
        args.push(kwargs[argument]);
        delete kwargs[argument];
      }
      if (others && texts["*"]?.trim()) {
        const isLeftOut = (argument) => !(texts[argument] ?? "") && !required.includes(argument);
        const missing = (member.order ?? []).find(isLeftOut);
        if (missing) throw new Error(`${missing}: needed where further arguments follow`);
        args.push(...furtherArguments(texts["*"]));
      }
      const answer = await callMethod(service, name, args, kwargs);
      setMore(answer.stream && !answer.complete);
      return answer.result;
    });
  };
  const set = (argument) => (text) => setTexts((before) => ({ ...before, [argument]: text }));
  return html`<form class="member" onSubmit=${call}>
    <div class="title"><code>${name}</code> <span class="quiet">${member.kind === "stream"
      ? `stream of ${typeText(member.item)}` : `gives ${hint(member.result)}`}</span></div>
    ${member.doc && html`<p class="doc">${member.doc}</p>`}
    <div class="fields">${inOrder.map(([argument, schema]) => {
      const id = `${name} ${argument}`;
      return html`<div><label for=${id}>${argument}${required.includes(argument) ? "" : " (optional)"}
          <span class="quiet"> ${hint(schema)}</span></label>
        <${Field} id=${id} schema=${schema} text=${texts[argument] ?? ""} onText=${set(argument)} />
        ${schema.description && html`<span class="quiet">${schema.description}</span>`}</div>`;
    })}
    ${others && html`<div><label for=${`${name} *`}>${Object.keys(properties).length ? "further arguments" : "arguments"}
        <span class="quiet"> JSON values, with commas between</span></label>
      <input id=${`${name} *`} type="text" value=${texts["*"] ?? ""} spellcheck=${false}
        onInput=${(event) => set("*")(event.target.value)} /></div>`}</div>
    <div class="bar"><button disabled=${readonly || state.runs}>Call</button>
      ${state.runs && html`<span class="quiet" role="status">running …</span>`}</div>
    ${state.done && html`<${Result} value=${state.value} unit=${member.result?.unit} name=${name} />`}
    ${state.done && more && html`<p class="quiet">The stream has more items.</p>`}
    <${Failure} error=${state.error} />
  </form>`;
}
