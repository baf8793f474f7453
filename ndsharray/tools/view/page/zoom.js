// Which part of an array a tile shows after the wheel, a key or a drag.

const LEAST = 4; // elements that a tile shows at least

/**
 * Return the new part `[left, top, right, bottom]` in elements; null: all of it; undefined: the
 * tile shows nothing that has parts. `from` is where a drag began, in CSS pixels.
 */
export function zoomed(tile, times, x, y, from) {
  const { facts, view, canvas, look } = tile;
  if (!view?.facts) return undefined;
  if (facts.kind === "plot") return zoomedPlot(view, look.crop, times, x, from);
  if (facts.kind !== "picture" || !view.view) return undefined;
  const { scale, left, top } = view.view;
  const [width, height] = facts.size;
  const [cx, cy] = [left + (x * devicePixelRatio) / scale, top + (y * devicePixelRatio) / scale];
  let [spanX, spanY] = [(canvas.width / scale) * times, (canvas.height / scale) * times];
  if (Math.min(spanX, spanY) < LEAST) return undefined;
  if (spanX >= width && spanY >= height) return null;
  const moved = from
    ? [((from.x - x) * devicePixelRatio) / scale, ((from.y - y) * devicePixelRatio) / scale]
    : [0, 0];
  const newLeft = inside(cx - (cx - left) * times + moved[0], spanX, width);
  const newTop = inside(cy - (cy - top) * times + moved[1], spanY, height);
  return [newLeft, newTop, newLeft + spanX, newTop + spanY];
}

function zoomedPlot({ box, facts }, crop, times, x, from) {
  if (!box) return undefined;
  const [left, right] = crop ? [crop[0], crop[2]] : [0, facts.points];
  const at = left + ((x - box.left) / box.width) * (right - left);
  const span = (right - left) * times;
  if (span < LEAST) return undefined;
  if (span >= facts.points) return null;
  const moved = from ? ((from.x - x) / box.width) * (right - left) : 0;
  const newLeft = inside(at - (at - left) * times + moved, span, facts.points);
  return [newLeft, 0, newLeft + span, 1];
}

function inside(start, span, length) {
  return span >= length ? (length - span) / 2 : Math.min(Math.max(start, 0), length - span);
}
