// The wall of tiles, the list of arrays, the toolbar, the keys, and the loop that asks for frames.

import { form, rate } from "./numbers.js";
import { Tile } from "./tile.js";
import { interrupt, next } from "./wire.js";

const MOST_AT_FIRST = 16; // tiles; further arrays are in the list only, until they are chosen
const FIGURES_EVERY = 250, RETRY_AFTER = 2000; // milliseconds

const $ = (selector) => document.querySelector(selector);
const wall = $("#wall"), list = $("#list"), banner = $("#banner"), help = $("#help"), filter = $("#filter");
const tiles = new Map(), hidden = new Set(), rows = new Map();
let entries = [], selected = null, solo = null, version = 0, clock = 0, columns = 1, isListChosen = false;

// --- which tiles there are

function take(arrays) {
  const known = new Set(entries.map((entry) => entry.key));
  entries = arrays;
  const keys = new Set(entries.map((entry) => entry.key));
  for (const [key, tile] of tiles) if (!keys.has(key)) drop(key, tile);
  for (const entry of entries) {
    const isNew = !known.has(entry.key);
    if (isNew && tiles.size >= MOST_AT_FIRST && !tiles.has(entry.key)) hidden.add(entry.key);
    if (hidden.has(entry.key)) continue;
    if (tiles.has(entry.key)) tiles.get(entry.key).update(entry);
    else tiles.set(entry.key, new Tile(entry, select, toggleSolo));
  }
  if (!isListChosen) showList(entries.length > 1); // one array needs no list
  arrange();
  fillList();
}

function drop(key, tile) {
  tile.remove();
  tiles.delete(key);
  if (selected === tile) select(null);
  if (solo === tile) solo = null;
}

function shown() {
  const word = filter.value.trim().toLowerCase();
  const fits = (entry) => !word || entry.name.toLowerCase().includes(word);
  const found = entries.filter((entry) => tiles.has(entry.key) && fits(entry)).map((entry) => tiles.get(entry.key));
  return solo ? found.filter((tile) => tile === solo) : found;
}

/** Put the tiles on the wall, as large as they can be with a shape of about 16 to 11. */
function arrange() {
  const found = shown();
  const { clientWidth: width, clientHeight: height } = wall;
  const count = found.length || 1;
  let best = 0;
  for (let tried = 1; tried <= count; tried++) {
    const lines = Math.ceil(count / tried);
    const size = Math.min(width / tried / 16, Math.max(height / lines, 150) / 11) * Math.sqrt(count / (tried * lines));
    if (size > best) [best, columns] = [size, tried];
  }
  const lines = Math.ceil(count / columns);
  wall.style.setProperty("--tile-width", `calc(${100 / columns}% - 6px)`);
  wall.style.setProperty("--tile-height", `${Math.max(150, Math.floor((height - 6 - 6 * lines) / lines) - 1)}px`);
  $("#nothing").hidden = entries.length > 0;
  const nodes = found.map((tile) => tile.node);
  for (const node of wall.querySelectorAll(".tile")) if (!nodes.includes(node)) node.remove();
  nodes.forEach((node, i) => {
    const there = wall.querySelectorAll(".tile")[i];
    if (there !== node) wall.insertBefore(node, there ?? null);
    node.classList.toggle("solo", Boolean(solo));
  });
  interrupt();
}

function select(tile) {
  selected?.node.classList.remove("selected");
  selected = tile;
  selected?.node.classList.add("selected");
  for (const [key, row] of rows) row.node.classList.toggle("selected", key === tile?.key);
  showTools();
}

function toggleSolo(tile) {
  solo = solo === tile ? null : tile;
  arrange();
  select(tile);
  tile.node.focus({ preventScroll: true });
}

// --- the list

function fillList() {
  const keys = new Set(entries.map((entry) => entry.key));
  for (const [key, row] of rows) if (!keys.has(key)) { row.node.remove(); rows.delete(key); }
  for (const entry of entries) {
    if (!rows.has(entry.key)) rows.set(entry.key, makeRow(entry.key));
    const row = rows.get(entry.key);
    row.node.dataset.state = entry.state;
    row.name.textContent = entry.name;
    row.form.textContent = form(entry.shape, entry.dtype) || (entry.state === "absent" ? "no writer yet" : "no frame yet");
    row.button.setAttribute("aria-pressed", String(tiles.has(entry.key)));
    row.button.title = `${entry.name}: ${entry.state}. Show or hide it; a double click shows it alone`;
    list.querySelector("ul").append(row.node);
  }
  filterList();
}

function makeRow(key) {
  const node = document.createElement("li");
  const button = document.createElement("button");
  const part = (name) => {
    const made = document.createElement("span");
    made.className = name;
    button.append(made);
    return made;
  };
  part("dot");
  const row = { node, button, name: part("name"), hz: part("hz"), form: part("form") };
  node.append(button);
  button.addEventListener("click", () => toggleShown(key));
  button.addEventListener("dblclick", () => {
    if (!tiles.has(key)) toggleShown(key);
    toggleSolo(tiles.get(key));
  });
  return row;
}

function toggleShown(key) {
  if (tiles.has(key)) {
    hidden.add(key);
    drop(key, tiles.get(key));
  } else {
    hidden.delete(key);
    tiles.set(key, new Tile(entries.find((entry) => entry.key === key), select, toggleSolo));
    select(tiles.get(key));
  }
  arrange();
  fillList();
}

function filterList() {
  const word = filter.value.trim().toLowerCase();
  for (const row of rows.values()) row.node.hidden = Boolean(word) && !row.name.textContent.toLowerCase().includes(word);
}

// --- toolbar and keys

const targets = () => (selected ? [selected] : shown());

function act(what) {
  if (what === "solo") {
    const tile = selected ?? solo ?? shown()[0];
    if (tile) toggleSolo(tile);
  } else {
    targets().forEach((tile) => tile.do(what));
  }
  showTools();
}

function showTools() {
  $("#target").textContent = selected ? selected.entry.name : "all tiles";
  for (const button of document.querySelectorAll("#tools button")) {
    const able = targets().map((tile) => tile.can(button.dataset.do)).filter(([can]) => can);
    const isOn = able.length > 0 && able.every(([, on]) => on);
    if (button.disabled !== !able.length) button.disabled = !able.length;
    if (button.getAttribute("aria-pressed") !== String(isOn)) button.setAttribute("aria-pressed", String(isOn));
  }
}

function move(by) {
  const found = shown();
  const at = found.indexOf(selected);
  const to = at < 0 ? found[0] : found[Math.min(Math.max(at + by, 0), found.length - 1)];
  to?.node.focus();
}

function showList(isShown) {
  list.hidden = !isShown;
  $("#list-button").setAttribute("aria-expanded", String(isShown));
}

function toggleList() {
  isListChosen = true;
  showList(list.hidden);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  tiles.forEach((tile) => tile.draw());
}

function toggleTheme() {
  setTheme(document.documentElement.dataset.theme === "light" ? "dark" : "light");
}

const KEYS = {
  " ": () => act("pause"), ".": () => act("step"), v: () => act("mode"), a: () => act("auto"),
  l: () => act("log"), c: () => act("colours"), b: () => act("bgr"), d: () => act("dark"),
  f: () => act("solo"), Enter: () => act("solo"), "?": () => help.showModal(), s: toggleList, t: toggleTheme,
  "/": () => { if (list.hidden) toggleList(); filter.focus(); },
  "[": () => targets().forEach((tile) => tile.turn(-1)), "]": () => targets().forEach((tile) => tile.turn(1)),
  "+": () => targets().forEach((tile) => tile.zoom(0.7)), "-": () => targets().forEach((tile) => tile.zoom(1.4)),
  0: () => targets().forEach((tile) => tile.change({ crop: null })),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(columns), ArrowUp: () => move(-columns),
  Escape: () => { if (solo) toggleSolo(solo); else { select(null); document.activeElement?.blur(); } },
  x: () => { if (selected) toggleShown(selected.key); },
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target === filter;
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (isTyping && event.key !== "Escape") return;
  if (event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
  const does = KEYS[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

document.querySelectorAll("#tools button").forEach((button) => button.addEventListener("click", () => act(button.dataset.do)));
$("#list-button").addEventListener("click", toggleList);
$("#theme").addEventListener("click", toggleTheme);
$("#help-button").addEventListener("click", () => help.showModal());
filter.addEventListener("input", () => { arrange(); filterList(); });
new ResizeObserver(arrange).observe(wall);
const light = matchMedia("(prefers-color-scheme: light)");
light.addEventListener("change", () => setTheme(light.matches ? "light" : "dark"));
setTheme(light.matches ? "light" : "dark");

// --- the loop

function becomesVisible() {
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

const frame = () => new Promise(requestAnimationFrame);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

document.addEventListener("visibilitychange", () => { if (document.hidden) interrupt(); });

setInterval(() => {
  if (document.hidden) return;
  tiles.forEach((tile) => {
    if (tile.node.isConnected) tile.tell(Date.now() + clock);
    const row = rows.get(tile.key);
    const { state } = tile.entry;
    if (row) row.hz.textContent = state === "live" ? rate(tile.latest?.hz) : state === "absent" ? "" : state;
  });
  showTools();
}, FIGURES_EVERY);

async function turn() {
  const questions = shown().map((tile) => tile.question()).filter(Boolean);
  const answer = await next(version, questions);
  if (!answer) return;
  clock = answer.now - Date.now();
  version = answer.version;
  await Promise.all(answer.tiles.map((facts) => tiles.get(facts.key)?.show(facts)));
  if (answer.arrays) take(answer.arrays);
  const { left_out: leftOut, problem } = answer;
  $("#left-out").hidden = !leftOut;
  $("#left-out").textContent = `and ${leftOut} more: name fewer on the command line`;
  banner.hidden = !problem;
  banner.textContent = problem ?? "";
}

for (;;) {
  if (document.hidden) await becomesVisible();
  try {
    await turn();
    await frame(); // no more questions than the screen has pictures
  } catch (error) {
    banner.textContent = error.message;
    banner.hidden = false;
    await pause(RETRY_AFTER);
  }
}
