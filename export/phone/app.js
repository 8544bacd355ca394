// The app: gets the model onto the phone, opens it, then shows the tabs.

import {Broken, Damaged, download, isKept, lackingMemory, lackingStorage, present} from './download.js';
import {Engine, needsCompat} from './engine.js';
import {buildTasks} from './tasks.js';
import {localeChooser, megabytes, say, speak, useSite} from './words.js';
import {buildWrite} from './write.js';

const at = id => document.getElementById(id);
const state = at('state'), bar = at('bar'), act = at('act');
let model, engine, running = null, shown = 'write', pages = {}, asked = null;

async function begin() {
  const site = await (await fetch('site.json')).json();
  model = site.model;
  useSite(site);
  at('title').textContent = document.title = model.title;
  at('unkept').hidden = isKept && 'serviceWorker' in navigator;
  localeChooser(at('locale'), () => { tell(); label(); for (const page of Object.values(pages)) page.spoken(); });
  speak();
  if (!WebAssembly.validate?.(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))) return tell('app.compat');
  if ('serviceWorker' in navigator) {
    navigator.serviceWorker.register(needsCompat() ? 'sw.js?compat' : 'sw.js').catch(error => console.warn(error));
  }
  tell('load.checking');
  const lacking = lackingMemory(model);
  if (lacking) return refuse('load.little_memory', lacking);
  const bytes = await present(model.parts);
  if (bytes === model.bytes) return load();
  tell('');
  offer(bytes ? 'load.continue' : 'load.download', load);
}

// The line under the title, in whatever language: said again when that changes.
let told = null;
function tell(key, values) {
  if (key !== undefined) told = key ? [key, values] : null;
  state.textContent = told ? say(...told) : '';
}

function offer(key, does) {
  asked = {key, does};
  label();
}

function label() {
  if (asked) act.textContent = say(asked.key, {megabytes: megabytes(model.bytes)});
  act.hidden = !asked;
  act.classList.toggle('stop', asked?.key === 'write.stop');
}

function refuse(key, {need, there}) {
  state.classList.add('problem');
  tell(key, {need: megabytes(need), there: megabytes(there)});
  offer('load.again', () => location.reload());
}

// One at a time, however often the button is pressed: two would write into the same part.
let loading = false, broken = false;
async function load() {
  if (loading) return;
  loading = true;
  broken = false;
  asked = null;
  running = new AbortController();
  let done = 0;
  try {
    state.classList.remove('problem');
    const bytes = done = await present(model.parts), lacking = await lackingStorage(model.bytes - bytes);
    if (lacking) return refuse('load.little_storage', lacking);
    if (bytes < model.bytes) {
      navigator.storage?.persist?.();
      offer('load.pause', () => running.abort());
      bar.hidden = false;
    }
    const blob = await download(model.parts, now => progress(done = now), running.signal);
    bar.hidden = true;
    at('size').hidden = true;
    asked = null;
    label();
    tell('load.opening');
    engine = new Engine(model);
    await engine.open(blob);
    await open();
  } catch (error) {
    bar.hidden = true;
    trouble(error, {done: megabytes(done), all: megabytes(model.bytes)});
  } finally {
    loading = false;
  }
}

function progress(done) {
  bar.value = done / model.bytes;
  tell('load.progress', {done: megabytes(done), all: megabytes(model.bytes)});
}

function trouble(error, values) {
  if (running.signal.aborted) {
    tell('load.paused', values);
    offer('load.continue', load);
    return;
  }
  state.classList.add('problem');
  if (error instanceof Broken) {
    tell('load.stopped', values);
    offer('load.continue', load);
    broken = true;
  } else {
    console.warn(error);
    tell(error instanceof Damaged ? 'load.damaged' : 'load.failed');
    offer('load.again', () => location.reload());
  }
}

async function open() {
  pages = {write: buildWrite(at('write'), engine, act)};
  if (model.tasks.length) pages.tasks = buildTasks(at('tasks'), engine);
  at('tabs').hidden = !pages.tasks;
  at('start').hidden = true;
  document.body.dataset.threads = engine.threads;
  speak();
  show('write');
  for (const name of Object.keys(pages)) {
    at(`tab-${name}`).onclick = () => show(name);
    at(`tab-${name}`).onkeydown = event => {
      if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
      show(name === 'write' ? 'tasks' : 'write');
      at(`tab-${shown}`).focus();
    };
  }
  if (isKept && 'serviceWorker' in navigator) {
    await navigator.serviceWorker.ready;
    pages.write.note('app.offline');
    document.body.dataset.kept = 'yes';
  }
}

function show(name) {
  shown = name;
  for (const one of ['write', 'tasks']) {
    at(one).hidden = one !== name;
    at(`tab-${one}`).setAttribute('aria-selected', String(one === name));
    at(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  if (!working) offer(pages[name].action, press);
}

// The one button at the bottom: it begins what the tab does, and ends it.
let working = null;
async function press() {
  if (working) return working.abort();
  working = new AbortController();
  const page = pages[shown];  // another may be shown when this one ends
  offer('write.stop', press);
  try {
    await page.run(working.signal);
  } catch (error) {
    console.warn(error);
    page.problem('app.wrong', {reason: error.message});
  } finally {
    working = null;
    offer(pages[shown].action, press);
  }
}

act.onclick = () => asked?.does();
addEventListener('online', () => { if (broken) load(); });
begin().catch(error => {
  state.className = 'problem';
  state.textContent = error.message;
  console.warn(error);
});
