// The tab Write: begin a sentence and watch the model go on.

import {TooLong} from './engine.js';
import {chooser, field, make, say} from './words.js';

const LONGEST = 4000;  // characters
const STYLES = {careful: 0.3, balanced: 0.7, playful: 1};
const LENGTHS = {short: 32, medium: 96, long: 256};  // tokens

export function buildWrite(page, engine, button) {
  const {model} = engine;
  const codes = Object.keys(model.languages);
  const [language, languages] = chooser('language', [
    ['', '', 'write.any'], ...codes.map(code => [code, model.languages[code].name]),
  ], 'write.language');
  const given = make('textarea', {id: 'given', rows: 3, maxlength: LONGEST, hint: 'write.hint', autocapitalize: 'sentences'});
  const [task, whatToDo] = chooser('task', [['continue', '', 'write.continue'], ['answer', '', 'write.answer']], 'write.task');
  const [style, styles] = chooser('style', Object.keys(STYLES).map(one => [one, '', `write.${one}`]), 'write.style');
  const [length, lengths] = chooser('length', Object.keys(LENGTHS).map(one => [one, '', `write.${one}`]), 'write.length');
  style.value = 'balanced';
  length.value = 'medium';
  const start = make('span', {class: 'given'}), more = make('b'), empty = make('span', {class: 'empty', say: 'write.empty'});
  const paper = make('p', {class: 'paper', id: 'written'}, empty, start, more);
  const status = make('p', {class: 'note', id: 'status', role: 'status'});
  const copy = make('button', {class: 'small', id: 'copy', say: 'write.copy', hidden: true, type: 'button'});
  const settings = make('details', {}, make('summary', {say: 'write.more'}),
    make('div', {class: 'row'}, ...(model.chat ? [whatToDo] : []), styles, lengths));
  page.replaceChildren(
    make('section', {class: 'sheet', 'aria-labelledby': 'written-label'},
      make('h2', {id: 'written-label', say: 'write.written'}), paper, make('div', {class: 'foot'}, status, copy)),
    ...(codes.length ? [languages] : []), field('write.text', given), settings);

  let line = null;
  const tell = (key, values, problem = false, figures = null) => {
    line = [key, values, problem, figures];
    status.textContent = say(key, values) + (figures ? ` · ${say('write.speed', figures)}` : '');
    status.classList.toggle('problem', problem);
  };
  language.onchange = () => {
    const openings = Object.values(model.languages).map(one => one.prompt);
    const free = !given.value.trim() || openings.includes(given.value);
    if (free && language.value) given.value = model.languages[language.value].prompt;
    given.lang = model.languages[language.value]?.bcp47 ?? '';
  };
  copy.onclick = async () => {
    await navigator.clipboard?.writeText(paper.textContent.trim());
    copy.textContent = say('write.copied');
    setTimeout(() => { copy.textContent = say('write.copy'); }, 1500);
  };

  async function run(signal) {
    const answers = task.value === 'answer', text = given.value;
    empty.hidden = true;
    copy.hidden = true;
    start.textContent = answers ? '' : text;
    more.textContent = '';
    paper.lang = model.languages[language.value]?.bcp47 ?? '';
    tell('write.writing');
    if (matchMedia('(pointer: coarse)').matches) given.blur();  // the keyboard would cover what is written
    const prompt = answers ? engine.answering(text) : engine.continuing(text, language.value);
    try {
      const found = await engine.write(prompt, {
        tokens: LENGTHS[length.value], temperature: STYLES[style.value], signal,
        seed: Math.floor(Math.random() * 2 ** 31),
      }, now => {
        more.textContent = now.text;
        if (document.activeElement === button || document.activeElement === document.body) more.scrollIntoView({block: 'nearest'});
      });
      const stopped = found.ended === 'cancelled';
      if (!found.text) return tell(stopped ? 'write.stopped' : 'write.nothing');
      tell(stopped ? 'write.stopped' : 'write.finished', {}, false, {
        count: found.tokens, speed: found.speed.toFixed(0), seconds: (found.ready + found.seconds).toFixed(1),
      });
      copy.hidden = !navigator.clipboard;
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      tell('write.too_long', {}, true);
    }
  }

  return {
    action: 'write.write', run,
    note: key => { if (!line) tell(key); },
    problem: (key, values) => tell(key, values, true),
    spoken: () => { if (line) tell(...line); },
  };
}
