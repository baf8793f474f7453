// What a tile consists of, in the page.

/** Make a tile's elements; `node` holds them all. */
export function makeNodes() {
  const make = (tag, name, parent) => {
    const made = document.createElement(tag);
    made.className = name;
    parent?.append(made);
    return made;
  };
  const node = make("article", "tile");
  node.tabIndex = 0;
  const head = make("header", "", node);
  make("span", "dot", head);
  const title = make("h2", "", head);
  const form = make("span", "form", head);
  const marks = make("span", "marks", head);
  const body = make("div", "body", node);
  const canvas = make("canvas", "", body);
  const sheet = make("div", "sheet", body);
  const message = make("p", "message", body);
  const under = make("output", "under", body);
  const foot = make("footer", "", node);
  const counts = make("span", "counts", foot);
  const nans = make("span", "nans", foot);
  const levels = make("span", "levels", foot);
  const low = make("span", "", levels);
  const ramp = make("canvas", "", levels);
  const high = make("span", "", levels);
  under.hidden = sheet.hidden = levels.hidden = true;
  return { node, title, form, marks, body, canvas, sheet, message, under, counts, nans, levels, low, ramp, high };
}

/** Draw the colours of a map from left to right. */
export function paintRamp(ramp, colours) {
  const context = ramp.getContext("2d");
  const gradient = context.createLinearGradient(0, 0, ramp.width, 0);
  colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), colour));
  context.fillStyle = gradient;
  context.fillRect(0, 0, ramp.width, ramp.height);
  ramp.dataset.map = `${colours}`;
}
