// The one request that a page has under way, and the questions about single elements.

let underWay = null;

/** Ask for whatever is newer; null if the page itself has interrupted the question. */
export async function next(seen, tiles) {
  underWay = new AbortController();
  const question = encodeURIComponent(JSON.stringify({ seen, tiles }));
  try {
    const answer = await fetch(`next?q=${question}`, { signal: underWay.signal }).catch(unanswered);
    if (!answer.ok) throw new Error(await answer.text());
    return unpacked(await answer.arrayBuffer());
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    underWay = null;
  }
}

function unanswered(error) { // fetch throws a TypeError where nobody listens
  throw error instanceof TypeError ? new Error("The viewer has ended: 'ndsharray view' starts another one.") : error;
}

/** Give up the question under way, as another one is to be asked. */
export function interrupt() {
  underWay?.abort();
}

function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  for (const tile of head.tiles) {
    tile.data = buffer.slice(at, at + tile.bytes); // a copy of its own, so that it is aligned
    at += tile.bytes;
  }
  return head;
}

/** Ask for the raw value at a place of one frame; null if that frame is gone. */
export async function element(question) {
  const answer = await fetch(`element?${new URLSearchParams(question)}`);
  if (!answer.ok) return null;
  return (await answer.json()).element ?? null;
}
