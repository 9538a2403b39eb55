// Arrays as pictures: a line, an image with its colour scale, and files of both.

import { saveBlob } from "./files.js";
import { html, useEffect, useRef, useState } from "./view.js";
import { numberText, shapeText } from "./words.js";

/** Stops of a colour scale that also reads in grey: dark blue over green to yellow. */
const COLOURS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
/** Larger pictures are drawn with every n-th point; the file has all. */
const MOST_PIXELS = 4e6;

const READERS = {
  b1: [1, "getUint8"], u1: [1, "getUint8"], i1: [1, "getInt8"],
  u2: [2, "getUint16"], i2: [2, "getInt16"], u4: [4, "getUint32"], i4: [4, "getInt32"],
  u8: [8, "getBigUint64"], i8: [8, "getBigInt64"], f2: [2, "getFloat16"], f4: [4, "getFloat32"], f8: [8, "getFloat64"],
};

/** Reads NumPy's file format (versions 1 to 3): `{ shape, data }`, numbers in C order. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  const isNpy = view.byteLength > 12 && view.getUint8(0) === 0x93 && view.getUint8(1) === 0x4e;
  if (!isNpy) throw new Error("This is no .npy file.");
  const wide = view.getUint8(6) > 1;
  const from = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const head = new TextDecoder().decode(new Uint8Array(buffer, from, length));
  const descr = /'descr':\s*'([<>|=])([a-z]\d+)'/.exec(head);
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(head)?.[1] ?? "").split(",").filter((one) => one.trim()).map(Number);
  const reader = descr && READERS[descr[2]];
  if (!reader || !(reader[1] in view)) throw new Error(`Arrays of ${descr?.[2] ?? "this type"} cannot be drawn.`);
  const [size, get] = reader;
  const count = shape.reduce((product, one) => product * one, 1);
  const data = new Float64Array(count);
  for (let at = 0; at < count; at++) data[at] = Number(view[get](from + length + at * size, descr[1] !== ">"));
  return { shape, data: /'fortran_order':\s*True/.test(head) ? inCOrder(data, shape) : data };
}

function inCOrder(data, shape) {
  if (shape.length !== 2) return data;
  const [rows, columns] = shape;
  const sorted = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) sorted[row * columns + column] = data[column * rows + row];
  }
  return sorted;
}

/** A list of numbers, or of equally long lists of numbers, as an array; else `null`. */
export function arrayOfList(list) {
  if (!Array.isArray(list) || list.length < 2) return null;
  if (list.every((one) => typeof one === "number")) return { shape: [list.length], data: Float64Array.from(list) };
  const width = list[0]?.length;
  const isImage = width > 1 && list.every((row) => Array.isArray(row) && row.length === width
    && row.every((one) => typeof one === "number"));
  return isImage ? { shape: [list.length, width], data: Float64Array.from(list.flat()) } : null;
}

function ends(data) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of data) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (COLOURS.length - 1);
  const at = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[at].map((from, channel) => from + (COLOURS[at + 1][channel] - from) * (place - at));
}

function drawImage(canvas, { shape: [rows, columns, channels = 1], data }, [least, most]) {
  const step = Math.max(1, Math.ceil(Math.sqrt((rows * columns) / MOST_PIXELS)));
  canvas.width = Math.ceil(columns / step);
  canvas.height = Math.ceil(rows / step);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  let to = 0;
  for (let row = 0; row < rows; row += step) {
    for (let column = 0; column < columns; column += step) {
      const at = (row * columns + column) * channels;
      const share = (value) => (most > least ? (value - least) / (most - least) : 0.5);
      const rgb = channels >= 3 ? [0, 1, 2].map((channel) => share(data[at + channel]) * 255)
        : !Number.isFinite(data[at]) ? [128, 128, 128] : colour(share(data[at]));
      picture.data.set([...rgb, 255], to);
      to += 4;
    }
  }
  context.putImageData(picture, 0, 0);
}

const savePng = (canvas, name) => canvas.toBlob((blob) => saveBlob(blob, `${name}.png`));

function LinePicture({ array, name }) {
  const place = useRef();
  useEffect(() => {
    const x = Float64Array.from(array.data, (_, at) => at);
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    const plot = new uPlot({
      width: place.current.clientWidth || 500, height: 220,
      scales: { x: { time: false } }, series: [{ label: "index" }, { label: name, stroke: "#0a7d8c", width: 1.5 }],
      axes: [{ stroke: ink }, { stroke: ink, size: 64 }],
    }, [x, Array.from(array.data, (value) => (Number.isNaN(value) ? null : value))], place.current);
    return () => plot.destroy();
  }, [array]);
  return html`<div class="canvas" ref=${place}></div>`;
}

function ImagePicture({ array, name }) {
  const canvas = useRef();
  const [least, most] = ends(array.data);
  useEffect(() => drawImage(canvas.current, array, [least, most]), [array]);
  return html`<div class="image"><canvas ref=${canvas} role="img" aria-label=${`${name}: image, ${shapeText(array.shape)}`}></canvas>
    ${array.shape.length === 2 && html`<div class="scale"><span>${numberText(least)}</span>
      <span class="ramp"></span><span>${numberText(most)}</span></div>`}</div>`;
}

/** A result that is an array, drawn, with its files; `null` where the value is none. */
export function Picture({ value, name }) {
  const url = value?.["@type"] === "array" ? value.url : null;
  const [array, setArray] = useState(() => (url ? null : arrayOfList(value)));
  const [error, setError] = useState(null);
  const place = useRef();
  useEffect(() => {
    setError(null);
    if (!url) {
      setArray(arrayOfList(value));
      return;
    }
    fetch(url).then((answer) => {
      if (!answer.ok) throw new Error("The array is no longer kept: call again.");
      return answer.arrayBuffer();
    }).then((buffer) => setArray(readNpy(buffer))).catch(setError);
  }, [value]);
  if (!url && !array) return null;
  const dimensions = array?.shape.length;
  const isImage = dimensions === 2 || (dimensions === 3 && array.shape[2] >= 3 && array.shape[2] <= 4);
  return html`<div class="picture" ref=${place}>
    ${array && dimensions === 1 && html`<${LinePicture} array=${array} name=${name} />`}
    ${array && isImage && html`<${ImagePicture} array=${array} name=${name} />`}
    ${error && html`<p class="quiet">${error.message}</p>`}
    <p>${url && html`<a download=${`${name}.npy`} href=${url}>.npy</a> `}
      ${array && (dimensions === 1 || isImage) && html`<button type="button" class="plain"
        onClick=${() => savePng(place.current.querySelector("canvas"), name)}>.png</button>`}</p>
  </div>`;
}
