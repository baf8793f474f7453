// Numbers and times for people.

export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("e+", "e");
  return String(+value.toPrecision(4));
}

export function rate(hz) {
  if (hz === null || hz === undefined) return "";
  return `${hz < 9.95 ? hz.toFixed(2) : hz < 99.95 ? hz.toFixed(1) : Math.round(hz)} Hz`;
}

export function age(seconds) {
  if (seconds < 0.0995) return `${Math.max(0, seconds * 1000).toFixed(0)} ms`;
  if (seconds < 99.5) return `${seconds.toFixed(1)} s`;
  if (seconds < 5970) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export function form(shape, dtype) {
  if (!shape) return "";
  return `${shape.length ? shape.join("×") : "scalar"} ${dtype}`;
}

/** Return about `most` round numbers between two others. */
export function ticks(low, high, most) {
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough) ?? rough;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9 && found.length < 50; i++) {
    found.push(+(i * step).toPrecision(12));
  }
  return found;
}
