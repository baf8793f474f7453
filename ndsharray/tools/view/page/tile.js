// One array on the wall: what it asks for, and what it shows.

import { age, form, rate, short } from "./numbers.js";
import { makeNodes, paintRamp } from "./nodes.js";
import { Picture, Plot, Table, Trace } from "./views.js";
import { element, interrupt } from "./wire.js";
import { zoomed } from "./zoom.js";

const VIEWS = { picture: Picture, plot: Plot, trace: Trace, table: Table };
const COLOURS = ["grey", "viridis", "inferno", "coolwarm"];
const STATES = {
  killed: "writer killed", closed: "writer closed", absent: "no writer",
  damaged: "damaged", "foreign version": "foreign version",
};

export class Tile {
  constructor(entry, onSelect, onSolo) {
    this.key = entry.key;
    this.look = { mode: "", auto: null, log: false, map: "grey", bgr: false, dark: 0, index: 0, crop: null };
    this.serial = 0; // of the frame that is shown
    this.version = 1; // of the look; the shown frame has `shownVersion`
    this.shownVersion = 0;
    this.isPaused = this.isStepping = false;
    this.views = {};
    this.cursor = null;
    this.build(onSelect, onSolo);
    this.update(entry);
  }

  build(onSelect, onSolo) {
    Object.assign(this, makeNodes());
    this.node.addEventListener("focus", () => onSelect(this));
    this.node.addEventListener("pointerdown", () => onSelect(this));
    this.node.addEventListener("dblclick", () => onSolo(this));
    for (const shown of [this.canvas, this.sheet]) {
      shown.addEventListener("pointermove", (event) => this.point(event));
      shown.addEventListener("pointerleave", () => this.point(null));
    }
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(2 ** (Math.sign(event.deltaY) / 2), event.offsetX, event.offsetY);
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      this.drag = this.look.crop ? { x: event.offsetX, y: event.offsetY } : null;
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointerup", () => { this.drag = null; });
    this.resizes = new ResizeObserver(() => this.fit());
    this.resizes.observe(this.body);
  }

  remove() {
    this.resizes.disconnect();
    this.views.picture?.bitmap?.close();
    this.node.remove();
  }

  /** Take what the list of arrays says. */
  update(entry) {
    this.entry = entry;
    this.node.dataset.state = entry.state;
    this.node.setAttribute("aria-label", `${entry.name}, ${STATES[entry.state] ?? entry.state}`);
    this.title.textContent = entry.name;
    this.title.title = `${entry.name} on ${entry.transport ?? "any transport"}`;
    this.mark();
    this.explain();
  }

  // --- asking

  /** Return what to ask the server, or null: hidden, or paused with all there is. */
  question() {
    if (!this.node.isConnected || !this.canvas.width || this.entry.state === "absent") return null;
    const isStale = this.version !== this.shownVersion;
    const isHeld = this.isPaused && !this.isStepping && this.serial > 0;
    if (isHeld && !isStale) return null;
    this.askedVersion = this.version;
    return {
      key: this.key, after: isStale ? 0 : this.serial, frame: isHeld ? this.serial : 0,
      w: this.canvas.width, h: this.canvas.height, at: this.cursor, ...this.look,
    };
  }

  /** Change the look, and ask at once. */
  change(what) {
    Object.assign(this.look, what);
    this.version++;
    this.mark();
    this.draw();
    interrupt();
  }

  // --- showing

  /** Take an answer; resolves once it is on the screen. */
  async show(facts) {
    this.problem = facts.problem ?? (facts.gone ? "this frame is no longer kept: go on to see others" : null);
    this.latest = { ...this.latest, ...facts, data: null };
    if (facts.dark_gone) this.look.dark = 0;
    if (facts.kind) {
      this.shownVersion = this.askedVersion;
      await this.take(facts);
    } else if (facts.problem && facts.serial) {
      this.serial = facts.serial;
    }
    if (facts.gone) this.shownVersion = this.askedVersion;
    this.explain();
  }

  async take(facts) {
    this.serial = facts.serial;
    if (this.isStepping) [this.isStepping, this.isPaused] = [false, true];
    this.form.textContent = form(facts.shape, facts.dtype);
    const View = VIEWS[facts.kind];
    const before = this.view;
    this.facts = facts;
    this.view = View ? (this.views[facts.kind] ??= new View(this.sheet)) : null;
    if (this.view !== before) this.settle();
    await this.view?.take(facts, facts.data);
    facts.data = null; // the view has what it needs
    this.draw();
    if (this.cursor && facts.element !== undefined) this.say(facts.element);
  }

  settle() {
    const isTable = this.facts.kind === "table";
    this.sheet.hidden = !isTable;
    this.canvas.hidden = isTable;
    this.node.classList.toggle("is-picture", this.facts.kind === "picture");
    this.point(null);
    this.mark();
  }

  draw() {
    if (!this.view?.facts || !this.canvas.width || this.canvas.hidden) return;
    this.view.draw(this.canvas, this.look, this.cursor);
    if (this.findCursor()) this.view.draw(this.canvas, this.look, this.cursor);
  }

  fit() {
    const { clientWidth, clientHeight } = this.body;
    const size = [clientWidth, clientHeight].map((length) => Math.round(length * devicePixelRatio));
    if (!size[0] || (size[0] === this.canvas.width && size[1] === this.canvas.height)) return;
    [this.canvas.width, this.canvas.height] = size;
    this.change({});
  }

  /** Write the small figures; a few times a second, so that they can be read. */
  tell(now) {
    const { hz, frame, missed, written } = this.latest ?? {};
    if (frame === undefined) return;
    const old = (now - written) / 1000;
    const isSlow = hz && old > 5 / hz && old > 1;
    const parts = [hz && !isSlow ? rate(hz) : "", `age ${age(old)}`, `#${frame}`];
    if (missed) parts.push(`missed ${missed}`);
    this.counts.textContent = parts.filter(Boolean).join("   ");
    this.counts.title = "the writer's rate, age of the newest frame, its number, frames that were written but not read here";
    const { nans = 0, infinities = 0, levels, low, high, colours } = this.facts ?? {};
    this.nans.textContent = [nans && `${nans} NaN`, infinities && `${infinities} inf`].filter(Boolean).join(" ");
    this.levels.hidden = low === null || low === undefined;
    this.ramp.hidden = !colours;
    this.low.textContent = short(colours ? levels[0] : low);
    this.high.textContent = colours ? short(levels[1]) : `to ${short(high)}`;
    this.levels.title = `values from ${short(low)} to ${short(high)}`;
    if (colours && this.ramp.dataset.map !== `${colours}`) paintRamp(this.ramp, colours);
  }

  mark() {
    const { auto, log, bgr, dark, crop, index } = this.look;
    const state = STATES[this.entry.state];
    const found = [
      state && [state, `state-${this.entry.state.split(" ")[0]}`], this.isPaused && ["paused"],
      auto === true && ["auto"], auto === false && ["whole range"], log && ["log"], bgr && ["BGR"],
      dark && ["dark subtracted"], crop && ["part"], this.facts?.planes > 1 && [`picture ${(index % this.facts.planes) + 1} of ${this.facts.planes}`],
    ].filter(Boolean);
    this.marks.replaceChildren(...found.map(([text, name = ""]) => {
      const made = document.createElement("b");
      made.textContent = text;
      made.className = name;
      return made;
    }));
  }

  explain() {
    let text = this.problem ?? this.entry.problem ?? "";
    if (!text && this.entry.state === "absent") text = `waiting for a writer of '${this.entry.name}'`;
    else if (!text && !this.facts) text = this.entry.state === "live" ? "waiting for a frame" : "";
    else if (!text && this.facts?.kind === "empty") text = `an empty array: ${form(this.facts.shape, this.facts.dtype)}`;
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  // --- the cursor

  point(event) {
    if (event && this.drag) this.pan(event);
    this.pointer = event && [event.offsetX, event.offsetY, event.target];
    if (this.findCursor()) this.draw();
  }

  /** See what lies under the pointer, which changes with the part that is shown, too. */
  findCursor() {
    const before = `${this.cursor}`;
    this.cursor = this.pointer && this.view ? this.view.place(...this.pointer) : null;
    if (!this.cursor) this.under.hidden = true;
    if (`${this.cursor}` === before) return false;
    this.lookUp();
    return true;
  }

  /** Ask for the raw value under the cursor: one question at a time, and the last place wins. */
  async lookUp() {
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.cursor) {
      const [x, y] = this.cursor;
      const text = await element({
        key: this.key, serial: this.serial, mode: this.facts.kind, index: this.look.index, x, y,
      }).catch(() => null);
      if (!this.cursor || (this.cursor[0] === x && this.cursor[1] === y)) {
        if (this.cursor && text !== null) this.say(text); // else the next frame brings it
        break;
      }
    }
    this.isAsking = false;
  }

  say(text) {
    this.under.textContent = this.view.caption(this.cursor, text);
    this.under.hidden = false;
  }

  zoom(times, x = this.body.clientWidth / 2, y = this.body.clientHeight / 2) {
    const crop = zoomed(this, times, x, y);
    if (crop !== undefined) this.change({ crop });
  }

  pan(event) {
    const crop = zoomed(this, 1, event.offsetX, event.offsetY, this.drag);
    this.drag = { x: event.offsetX, y: event.offsetY };
    if (crop) this.change({ crop });
  }

  // --- what the toolbar and the keys do

  /** Whether the tile can do something, and whether it does it now. */
  can(what) {
    const { kind, modes = [], colours, shape, dtype = "" } = this.facts ?? {};
    const isPicture = kind === "picture";
    return {
      pause: [true, this.isPaused], step: [true, false], mode: [modes.length > 1, false],
      auto: [isPicture, Boolean(this.facts?.auto)], log: [isPicture || kind === "plot" || kind === "trace", this.look.log],
      colours: [isPicture && Boolean(colours), this.look.map !== "grey"],
      bgr: [isPicture && !colours && dtype && shape.length > 2, this.look.bgr],
      dark: [isPicture, Boolean(this.look.dark)], solo: [true, this.node.classList.contains("solo")],
    }[what];
  }

  do(what) {
    const { look } = this;
    if (!this.can(what)?.[0]) return;
    if (what === "pause") {
      this.isPaused = !this.isPaused;
      this.change({}); // the server keeps the frame of a tile that pauses
    } else if (what === "step") {
      this.isPaused = this.isStepping = true;
      this.change({});
      this.shownVersion = this.version; // the next frame, not this one again
    } else if (what === "mode") {
      const { modes, kind } = this.facts;
      const ordered = Object.keys(VIEWS).filter((mode) => modes.includes(mode));
      this.change({ mode: ordered[(ordered.indexOf(kind) + 1) % ordered.length], crop: null });
    } else if (what === "auto") {
      this.change({ auto: !this.facts.auto });
    } else if (what === "colours") {
      this.change({ map: COLOURS[(COLOURS.indexOf(look.map) + 1) % COLOURS.length] });
    } else if (what === "dark") {
      this.change({ dark: look.dark ? 0 : this.serial });
    } else {
      this.change({ [what]: !look[what] });
    }
  }

  turn(by) {
    const planes = this.facts?.planes ?? 1;
    if (planes > 1) this.change({ index: (this.look.index + by + planes) % planes });
  }
}
