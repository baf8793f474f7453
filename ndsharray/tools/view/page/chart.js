// Lines on a canvas: axes, ticks, and values that may be missing.

import { short, ticks } from "./numbers.js";

const MARGIN = { left: 52, right: 12, top: 8, bottom: 20 };

/** Return the colours that the style sheet has for the page's theme. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(name).trim();
  return {
    lines: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => named(`--trace-${i}`)),
    size: parseFloat(getComputedStyle(document.body).fontSize) - 2,
    grid: named("--line"), text: named("--quiet"), strong: named("--text"),
  };
}

/** A range that stays while the values fill a good part of it, so that it does not tremble. */
export function steady(range, low, high) {
  if (!(high > low)) { // one value, or none
    const room = Math.abs(low) * 0.1 || 1;
    [low, high] = Number.isFinite(low) ? [low - room, high + room] : [0, 1];
  }
  const room = (high - low) * 0.06;
  if (range && low >= range[0] && high <= range[1] && high - low > 0.45 * (range[1] - range[0])) return range;
  return [low - room, high + room];
}

/**
 * Draw a chart and return where it lies: `{left, top, width, height}` in CSS pixels.
 *
 * `above` and `beside` (to the right) stay free for a legend. `lines` are functions that call `to(x, y)` for each point, NaN where a line is interrupted.
 */
export function chart(canvas, { x, y, log, xText, lines, cursor, above = 0, beside = 0 }) {
  const ratio = devicePixelRatio;
  const context = canvas.getContext("2d");
  const [width, height] = [canvas.width / ratio, canvas.height / ratio];
  const box = {
    left: MARGIN.left, top: MARGIN.top + above,
    width: Math.max(1, width - MARGIN.left - MARGIN.right - beside),
    height: Math.max(1, height - MARGIN.top - MARGIN.bottom - above),
  };
  const scale = (value) => (log ? Math.log10(Math.max(value, Number.MIN_VALUE)) : value);
  const [bottom, top] = [scale(y[0]), scale(y[1])];
  const toX = (value) => box.left + ((value - x[0]) / (x[1] - x[0] || 1)) * box.width;
  const toY = (value) => box.top + (1 - (scale(value) - bottom) / (top - bottom || 1)) * box.height;
  const colours = palette();

  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `${colours.size}px system-ui, "Liberation Sans", sans-serif`;
  context.fillStyle = colours.text;
  context.strokeStyle = colours.grid;
  context.lineWidth = 1;
  context.beginPath();
  context.textAlign = "right";
  context.textBaseline = "middle";
  const yTicks = log
    ? ticks(bottom, top, box.height / 34).filter(Number.isInteger).map((power) => 10 ** power)
    : ticks(bottom, top, box.height / 34);
  for (const value of yTicks) {
    const at = Math.round(toY(value)) + 0.5;
    context.moveTo(box.left, at);
    context.lineTo(box.left + box.width, at);
    context.fillText(short(value), box.left - 6, at);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of ticks(x[0], x[1], box.width / 80)) {
    const at = Math.round(toX(value)) + 0.5;
    context.moveTo(at, box.top);
    context.lineTo(at, box.top + box.height);
    context.fillText(xText(value), Math.min(at, width - 20), box.top + box.height + 5);
  }
  context.stroke();

  context.save();
  context.beginPath();
  context.rect(box.left, box.top - 1, box.width, box.height + 2);
  context.clip();
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  lines.forEach((line, i) => {
    context.strokeStyle = context.fillStyle = colours.lines[i % colours.lines.length];
    context.setLineDash(i >= colours.lines.length ? [5, 3] : []);
    context.beginPath();
    let isDown = false, lastX = 0, lastY = 0, isLone = false;
    const dot = () => isLone && context.fillRect(lastX - 1, lastY - 1, 2.5, 2.5);
    line((valueX, valueY) => {
      if (Number.isNaN(valueY) || (log && valueY <= 0)) { dot(); isDown = isLone = false; return; }
      [lastX, lastY] = [toX(valueX), toY(valueY)];
      isLone = !isDown;
      if (isDown) context.lineTo(lastX, lastY);
      else context.moveTo(lastX, lastY);
      isDown = true;
    });
    dot();
    context.stroke();
  });
  context.setLineDash([]);
  if (cursor !== null && cursor !== undefined) {
    const at = Math.round(toX(cursor)) + 0.5;
    context.strokeStyle = colours.strong;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(at, box.top);
    context.lineTo(at, box.top + box.height);
    context.stroke();
  }
  context.restore();
  return box;
}
