// The tab Tasks: what the model was finetuned for, asked with the prompts it was finetuned with.

import {TooLong, literal} from './engine.js';
import {fillPrompt, fillSlots, shares, spans, splitSentences} from './labels.js';
import {chooser, field, make, say} from './words.js';

const LONGEST = 2000;  // characters
const ANSWER = 128;  // tokens of a written answer
const MOST_BARS = 5;

// What a task is called: its own name where the app has no words for it.
const CALLED = [
  [/topic|news|sib|antc|dikgang/, 'topic'], [/senti/, 'sentiment'], [/ner/, 'entities'], [/pos$/, 'parts'],
  [/hg$|headline/, 'headline'],
];

const translates = task => Object.keys(task.partners ?? {}).length > 0;

function called(task) {
  if (translates(task)) return 'tasks.translate';
  if (task.pattern) return 'tasks.say';
  const found = CALLED.find(([pattern]) => pattern.test(task.name));
  return found && `tasks.${found[1]}`;
}

export function buildTasks(page, engine) {
  const {tasks} = engine.model;
  const names = tasks.map(called);
  const titles = tasks.map((task, place) => {
    const alone = names[place] && names.filter(one => one === names[place]).length === 1;
    return [String(place), task.name.replaceAll('_', ' '), alone ? names[place] : undefined];
  });
  const [choice, choices] = chooser('which', titles, 'tasks.task');
  const form = make('div', {class: 'form'});
  const answer = make('div', {id: 'answer'}, make('p', {class: 'empty', say: 'tasks.empty'}));
  const status = make('p', {class: 'note', id: 'task-status', role: 'status'});
  page.replaceChildren(
    make('section', {class: 'sheet', 'aria-labelledby': 'answer-label'},
      make('h2', {id: 'answer-label', say: 'tasks.result'}), answer, make('div', {class: 'foot'}, status)),
    ...(tasks.length > 1 ? [choices] : []), form);

  let current, line = null;
  const tell = (key, problem = false, values = {}) => {
    line = key ? [key, problem, values] : null;
    status.textContent = key ? say(key, values) : '';
    status.classList.toggle('problem', problem);
  };
  const choose = () => {
    current = buildForm(tasks[Number(choice.value)]);
    form.replaceChildren(...current.controls);
    answer.replaceChildren(make('p', {class: 'empty', say: 'tasks.empty'}));
    tell(null);
    for (const part of [form, answer]) for (const one of part.querySelectorAll('[data-say]')) one.textContent = say(one.dataset.say);
  };
  choice.onchange = choose;
  choose();

  async function run(signal) {
    const asked = current.read();
    if (asked.problem) return tell(asked.problem, true);
    tell('tasks.working');
    answer.replaceChildren();
    const task = tasks[Number(choice.value)];
    const ask = {classification: classify, tagging: tag, generation: generate}[task.family];
    try {
      await ask(engine, task, asked, answer, signal);
      tell(signal.aborted ? 'write.stopped' : 'tasks.unsure');
    } catch (error) {
      if (signal.aborted) return tell('write.stopped');
      if (!(error instanceof TooLong)) throw error;
      tell('write.too_long', true);
    }
  }

  return {
    action: 'tasks.decide', run,
    problem: (key, values) => tell(key, true, values),
    spoken: () => { if (line) tell(...line); },
  };
}

// The controls of a task and what they say: {code, values} of its prompt, or {problem}.
function buildForm(task) {
  const pairs = Object.entries(task.languages);
  const [language, languages] = chooser('in', pairs, translates(task) ? 'tasks.to' : 'tasks.language');
  if (task.pattern) {
    const names = [...task.pattern.matchAll(/\{(\w+)\}/g)].map(one => one[1]);
    const inputs = names.map(name => make('input', {id: `part-${name}`, maxlength: 200, autocomplete: 'off'}));
    const fields = names.map((name, place) => ['entity', 'relation', 'value'].includes(name)
      ? field(`tasks.${name}`, inputs[place]) : make('label', {class: 'field'}, make('span', {}, name), inputs[place]));
    const read = () => {
      const parts = Object.fromEntries(names.map((name, place) => [name, inputs[place].value.trim()]));
      if (Object.values(parts).some(one => !one)) return {problem: 'tasks.missing'};
      return {code: language.value, parts, values: {...parts, text: Object.values(parts).join(' | ')}};
    };
    return {controls: [...fields, languages], read};
  }
  const text = make('textarea', {id: 'task-text', rows: 4, maxlength: LONGEST});
  const [from, froms] = chooser('from', [], 'tasks.from');
  const sources = () => task.partners[language.value];  // the model learnt no others to translate from
  if (translates(task)) {
    const fill = () => {
      const before = from.value;
      from.replaceChildren(...Object.entries(sources()).map(([code, name]) => new Option(name, code)));
      if (before in sources()) from.value = before;
    };
    language.onchange = fill;
    fill();
  }
  const read = () => {
    const given = text.value.trim();
    if (!given) return {problem: 'tasks.missing'};
    const source = translates(task) ? sources()[from.value] : task.languages[language.value];
    return {code: language.value, parts: {}, values: {text: given, source}};
  };
  const choices = translates(task) ? [make('div', {class: 'row'}, froms, languages)] : pairs.length > 1 ? [languages] : [];
  return {controls: [field('tasks.text', text), ...choices], read};
}

const prompt = (engine, task, {code, values}, own = {}) =>
  engine.answering(fillPrompt(task.prompts[code], {language: task.languages[code], ...values, ...own}));

async function classify(engine, task, asked, answer, signal) {
  const words = task.words[asked.code], labels = Object.keys(words);
  const said = prompt(engine, task, asked, {labels: Object.values(words).join(', ')});
  const scores = await engine.score(said, labels.map(label => task.tokens[words[label]]), signal);
  const ranked = shares(scores).map((share, place) => [share, labels[place]]).sort((one, other) => other[0] - one[0]);
  answer.append(make('ol', {class: 'bars'}, ...ranked.slice(0, MOST_BARS).map(([share, label]) => {
    const percent = `${Math.round(share * 100)} %`;
    const bar = make('span', {});
    bar.style.width = `${(100 * share).toFixed(1)}%`;
    return make('li', {}, make('span', {}, words[label]), make('span', {class: 'percent'}, percent),
      make('span', {class: 'bar', 'aria-hidden': 'true'}, bar));
  })));
}

async function tag(engine, task, asked, answer, signal) {
  let spanned = 0;
  for (const words of splitSentences(asked.values.text.normalize('NFC'))) {
    const tags = await tagsOf(engine, task, asked, words, signal);
    if (signal.aborted) return;
    const ends = spans(tags);
    spanned += ends.length;
    answer.append(make('p', {class: 'tagged'}, ...(task.scheme === 'bio' ? marked(words, ends) : above(words, tags))));
  }
  if (task.scheme === 'bio' && !spanned) answer.append(make('p', {class: 'note', say: 'tasks.none'}, say('tasks.none')));
}

async function tagsOf(engine, task, asked, words, signal) {
  const grammar = [`root ::= tag${' " " tag'.repeat(words.length - 1)}`, `tag ::= ${task.tags.map(literal).join(' | ')}`].join('\n');
  const own = {text: words.join(' '), tags: task.tags.join(', ')};
  const found = await engine.write(prompt(engine, task, asked, own), {tokens: 12 * words.length + 8, grammar, signal});
  return found.text.trim().split(/\s+/).filter(Boolean);
}

// Words with their tags above them.
const above = (words, tags) => words.slice(0, tags.length).map((word, place) =>
  make('ruby', {}, word, make('rt', {}, tags[place])));

// Words, those of a span marked.
function marked(words, ends) {
  const parts = [];
  for (let place = 0; place < words.length; ) {
    const span = ends.find(one => one.start === place), end = span ? span.end : place + 1;
    const text = words.slice(place, end).join(' ');
    parts.push(span ? make('mark', {}, text, make('small', {}, span.kind)) : text, ' ');
    place = end;
  }
  return parts;
}

async function generate(engine, task, asked, answer, signal) {
  const paper = answer.appendChild(make('p', {class: 'paper'}));
  const finish = text => task.slots.length ? fillSlots(text, asked.parts) : text;
  const options = {tokens: Math.min(ANSWER, engine.model.context >> 1), signal};
  const found = await engine.write(prompt(engine, task, asked), options, now => { paper.textContent = finish(now.text); });
  paper.textContent = finish(found.text).trim();
}
