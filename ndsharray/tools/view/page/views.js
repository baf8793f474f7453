// What a tile's body shows: each view takes the server's facts and data, and draws itself.
// A view has `take(facts, data)`, `draw(canvas, look, cursor)`, and `place(x, y)`, which tells
// the element under a point of the canvas (CSS pixels), or null.

import { chart, palette, steady } from "./chart.js";
import { short } from "./numbers.js";

const TRACE_SECONDS = 30, TRACE_POINTS = 2000;

export class Picture {
  async take(facts, data) {
    const [width, height] = facts.image;
    const image = facts.encoding === "rgba"
      ? new ImageData(new Uint8ClampedArray(data), width, height)
      : new Blob([data], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(image);
    this.bitmap?.close();
    [this.facts, this.bitmap] = [facts, bitmap]; // a key may draw before: the picture until then
  }

  /** Return the part of the array that the canvas has room for, and how many pixels an element is. */
  frame(canvas, crop) {
    const [width, height] = this.facts.size;
    const [left, top, right, bottom] = crop ?? [0, 0, width, height];
    const scale = Math.min(canvas.width / (right - left), canvas.height / (bottom - top));
    return {
      scale,
      left: (left + right) / 2 - canvas.width / scale / 2,
      top: (top + bottom) / 2 - canvas.height / scale / 2,
    };
  }

  draw(canvas, look, cursor) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.view = this.frame(canvas, look.crop);
    const { scale, left, top } = this.view;
    const [x0, y0, x1, y1] = this.facts.part;
    context.imageSmoothingEnabled = ((x1 - x0) / this.bitmap.width) * scale < 1.5; // else: elements are to be seen
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, (x0 - left) * scale, (y0 - top) * scale, (x1 - x0) * scale, (y1 - y0) * scale);
    if (cursor && scale >= 6) {
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.strokeRect((cursor[0] - left) * scale, (cursor[1] - top) * scale, scale, scale);
    }
  }

  place(x, y) {
    if (!this.view) return null;
    const { scale, left, top } = this.view;
    const at = [Math.floor(left + (x * devicePixelRatio) / scale), Math.floor(top + (y * devicePixelRatio) / scale)];
    const [width, height] = this.facts.size;
    return at[0] >= 0 && at[1] >= 0 && at[0] < width && at[1] < height ? at : null;
  }

  caption([x, y], text) {
    return `x ${x}  y ${y}   ${text}`;
  }
}

export class Plot {
  take(facts, data) {
    this.facts = facts;
    this.values = new Float64Array(data);
    let [low, high] = [Infinity, -Infinity];
    for (const value of this.values) {
      if (value < low && value !== -Infinity) low = value;
      if (value > high && value !== Infinity) high = value;
    }
    this.bounds = [low, high];
  }

  draw(canvas, look, cursor) {
    const { lines, columns, thinned, part } = this.facts;
    const step = (part[1] - part[0]) / columns;
    const each = thinned ? 2 : 1;
    let [low, high] = this.bounds;
    if (look.log) low = this.values.reduce((least, value) => (value > 0 && value < least ? value : least), high);
    const isLog = look.log && low > 0;
    this.range = isLog ? [low / 1.3, high * 1.3] : steady(this.range, low, high);
    const draw = (line) => (to) => {
      for (let i = 0; i < columns; i++) {
        for (let k = 0; k < each; k++) to(part[0] + i * step, this.values[(line * columns + i) * each + k]);
      }
    };
    this.box = chart(canvas, {
      x: [part[0], Math.max(part[1] - 1, part[0] + 1)], y: this.range, log: isLog,
      xText: short, lines: Array.from({ length: lines }, (_, i) => draw(i)),
      cursor: cursor?.[0],
    });
  }

  place(x) {
    if (!this.box || x < this.box.left) return null;
    const [left, right] = this.facts.part;
    const at = Math.round(left + ((x - this.box.left) / this.box.width) * (right - 1 - left));
    return at >= left && at < right ? [at, 0] : null;
  }

  caption([x], text) {
    return `[${x}]   ${text}`;
  }
}

export class Trace {
  constructor() {
    this.points = [];
  }

  take(facts) {
    if (this.facts && this.facts.labels.join() !== facts.labels.join()) this.points = [];
    this.facts = facts;
    const last = this.points.at(-1);
    if (last?.serial === facts.serial) return;
    if (last && facts.written < last.time) this.points = []; // the clock was set
    const pause = Math.max(1000, 5000 / (facts.hz ?? 5)); // milliseconds; longer ones interrupt the lines
    if (last && facts.written - last.time > pause) this.points.push({ time: last.time, values: [] });
    this.points.push({ time: facts.written, serial: facts.serial, values: facts.values });
    const from = facts.written - TRACE_SECONDS * 1000;
    let gone = Math.max(0, this.points.length - TRACE_POINTS);
    while (this.points[gone].time < from) gone++;
    this.points.splice(0, gone);
  }

  draw(canvas, look) {
    const { points } = this;
    const end = points.at(-1).time;
    const span = Math.max(2000, Math.min(TRACE_SECONDS * 1000, end - points[0].time));
    let [low, high] = [Infinity, -Infinity];
    for (const point of points) {
      for (const value of point.values) {
        if (value === null || (look.log && value <= 0)) continue;
        [low, high] = [Math.min(low, value), Math.max(high, value)];
      }
    }
    const isLog = look.log && low < Infinity;
    this.range = isLog ? [low / 1.3, high * 1.3] : steady(this.range, low, high);
    const legend = this.legend(canvas);
    chart(canvas, {
      ...legend.room, x: [-span / 1000, 0], y: this.range, log: isLog,
      xText: (value) => (value ? `${short(value)} s` : "now"),
      lines: this.facts.labels.map((_, i) => (to) => {
        for (const point of points) to((point.time - end) / 1000, point.values[i] ?? NaN);
      }),
    });
    legend.write();
  }

  /** The newest values beside the chart; one alone large above it. */
  legend(canvas) {
    const context = canvas.getContext("2d");
    const colours = palette();
    const { labels, texts, values } = this.facts;
    const isOne = labels.length === 1;
    const [width, height] = [canvas.width, canvas.height].map((length) => length / devicePixelRatio);
    const size = isOne ? Math.min(64, height / 5) : Math.min(colours.size * 1.35, Math.max(9, (height - 30) / labels.length / 1.4));
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.font = `${isOne ? 600 : 500} ${size}px ui-monospace, "DejaVu Sans Mono", monospace`;
    const font = context.font;
    const named = labels.map((label) => (label ? `${label} ` : ""));
    const written = values.map((value, i) => (value === null ? texts[i] : short(value)).padStart(isOne ? 0 : 9));
    const shown = written.map((value, i) => named[i] + value);
    const wide = Math.max(...shown.map((text) => context.measureText(text).width), this.wide ?? 0);
    this.wide = wide; // it stays, so that the chart does not tremble
    const write = () => {
      Object.assign(context, { font, textAlign: isOne ? "left" : "right", textBaseline: "top" });
      shown.forEach((text, i) => {
        context.fillStyle = isOne ? colours.strong : colours.lines[i % colours.lines.length];
        context.fillText(text, isOne ? 52 : width - 10, 8 + i * size * 1.4);
      });
    };
    return { room: isOne ? { above: size * 1.25 } : { beside: wide + 12 }, write };
  }

  place() {
    return null;
  }
}

export class Table {
  constructor(sheet) {
    this.sheet = sheet;
  }

  take(facts) {
    this.facts = facts;
    const { columns, rows, numbered, whole } = facts;
    const form = `${columns}|${rows.length}|${numbered}`;
    if (form !== this.form) this.build(columns, rows, numbered);
    this.form = form;
    rows.forEach((row, y) => row.forEach((text, x) => {
      const cell = this.cells[y][x];
      if (cell.textContent !== text) cell.textContent = text; // else a selection would be lost
    }));
    const isCut = rows.length < whole[0] || columns.length < whole[1];
    this.rest.textContent = isCut ? `${rows.length} of ${whole[0]} rows, ${columns.length} of ${whole[1]} columns` : "";
  }

  build(columns, rows, numbered) {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    const title = (row, text) => {
      const cell = document.createElement("th");
      cell.textContent = text;
      row.append(cell);
    };
    if (numbered) title(head, "");
    columns.forEach((text) => title(head, text));
    const body = table.createTBody();
    this.cells = rows.map((row, y) => {
      const line = body.insertRow();
      if (numbered) title(line, y);
      return row.map(() => line.insertCell());
    });
    this.rest = document.createElement("p");
    this.sheet.replaceChildren(table, this.rest);
  }

  draw() {}

  place(x, y, target) {
    const cell = target.closest("td");
    if (!cell) return null;
    return [cell.cellIndex - (this.facts.numbered ? 1 : 0), cell.parentElement.sectionRowIndex];
  }

  caption([x, y], text) {
    return this.facts.numbered ? `row ${y}  ${this.facts.columns[x]}   ${text}` : text;
  }
}
