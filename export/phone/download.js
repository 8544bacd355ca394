// The model's parts: fetched one after the other, each kept as soon as it is whole, so that what was paid for
// stays. A connection that breaks goes on in the middle of a part, where the server can do that.

const WAITS = [500, 1500, 4000];  // milliseconds before another try
const DAMAGED = 2;  // times that a part may arrive other than it was exported

export class Broken extends Error {}  // no network for now
export class Damaged extends Error {}

const scope = new URL('./', location.href).href;
const kept = globalThis.caches ? `edgelm ${scope} model` : null;  // none on an address without https
const inMemory = new Map(), begun = new Map();

const address = part => new URL(part.path, scope).href;
const open = () => kept ? caches.open(kept) : null;

async function find(part, cache) {
  if (inMemory.has(part.path)) return inMemory.get(part.path);
  const found = await cache?.match(address(part));
  const blob = await found?.blob();
  return blob?.size === part.bytes ? blob : null;
}

// Bytes of the model that are here.
export async function present(parts) {
  const cache = await open();
  let bytes = 0;
  for (const part of parts) if (await find(part, cache)) bytes += part.bytes;
  return bytes;
}

// The model as one Blob; `told` hears of the bytes that are here.
export async function download(parts, told, signal) {
  const cache = await open(), found = [];
  let done = 0;
  for (const part of parts) {
    let blob = await find(part, cache);
    if (!blob) {
      blob = new Blob([await whole(part, bytes => told(done + bytes), signal)]);
      await keep(part, blob, cache);
    }
    found.push(blob);
    told(done += part.bytes);
  }
  await forgetOthers(parts, cache);
  return new Blob(found);
}

async function keep(part, blob, cache) {
  try {
    if (!cache) throw new Error('no cache');
    await cache.put(address(part), new Response(blob, {headers: {'Content-Length': blob.size}}));
  } catch {
    inMemory.set(part.path, blob);
  }
}

async function forgetOthers(parts, cache) {
  if (!cache) return;
  const known = new Set(parts.map(address));
  for (const request of await cache.keys()) if (!known.has(request.url)) await cache.delete(request);
}

// A part, checked; one that arrives damaged is fetched once more.
async function whole(part, told, signal) {
  for (let time = 0; time < DAMAGED; time++) {
    const bytes = await steadily(part, told, signal);
    begun.delete(part.path);
    if (await intact(part, bytes)) return bytes;
  }
  throw new Damaged(part.path);
}

async function steadily(part, told, signal) {
  const state = begun.get(part.path) ?? {bytes: new Uint8Array(part.bytes), have: 0};
  begun.set(part.path, state);
  for (let time = 0; ; ) {
    const before = state.have;
    try {
      await more(part, state, told, signal);
      return state.bytes;
    } catch (error) {
      if (signal?.aborted) throw error;
      if (state.have > before) time = 0;
      if (time >= WAITS.length) throw new Broken(error.message);
      await new Promise(resolve => setTimeout(resolve, WAITS[time++]));
      if (signal?.aborted) throw error;
    }
  }
}

async function more(part, state, told, signal) {
  if (state.have === part.bytes) return;  // it broke off after the last byte
  const headers = state.have ? {Range: `bytes=${state.have}-`} : {};
  const answer = await fetch(address(part), {headers, signal, cache: 'no-store'});
  if (answer.status === 416) state.have = 0;  // another part there, or a server that counts otherwise
  if (!answer.ok) throw new Error(`${answer.status}`);
  const from = /^bytes (\d+)-/.exec(answer.headers.get('Content-Range') ?? '');
  state.have = answer.status === 206 && from ? Number(from[1]) : 0;  // a server that knows no ranges begins again
  const reader = answer.body.getReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    if (state.have + value.length > part.bytes) throw new Error('too long');
    state.bytes.set(value, state.have);
    told(state.have += value.length);
  }
  if (state.have < part.bytes) throw new Error('too short');
}

async function intact(part, bytes) {
  if (!globalThis.crypto?.subtle) return true;  // an address without https; the length is right
  const found = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...found].map(one => one.toString(16).padStart(2, '0')).join('') === part.sha256;
}

// What the phone lacks for the model, in bytes: {need, there}, or null where nothing is known to lack.
export function lackingMemory(model) {
  // a browser says 0.25 to 8 GB, or nothing; Android has about half of it for itself
  const there = (navigator.deviceMemory ?? Infinity) * 1e9 / 2;
  return model.memory > there ? {need: model.memory, there} : null;
}

export async function lackingStorage(missing) {
  if (!kept || !navigator.storage?.estimate) return null;
  const {quota, usage} = await navigator.storage.estimate();
  const there = Math.max(0, quota - usage);
  return missing > there ? {need: missing, there} : null;
}

export const isKept = Boolean(kept);
