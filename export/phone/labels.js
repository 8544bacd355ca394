// What edgelm's Python does with words, tags and slots, done likewise here: `edgelm/runtime/answers.py`,
// `edgelm/tasks/slots.py`, and `edgelm/tasks/generation.py` for what templates hold.

const OF_WORD = /[\p{L}\p{N}\p{M}]/u;
const WORD = /w+(?:'w+)*|./g;
const SENTENCE = /\n|(?<=[!?…])\s+(?=[^a-z])|(?<=[\p{L}\p{Nl}\p{No}]{5}\.)\s+(?=[^a-z])/u;
const SLOT = /\{([a-z_]+)(?::([a-z]+))?\}/g;

// Words and marks of a sentence.
export function splitWords(text) {
  return text.split(/\s+/u).filter(Boolean).flatMap(one => {
    const signs = [...one];
    const kinds = signs.map(sign => OF_WORD.test(sign) ? 'w' : "'’".includes(sign) ? "'" : '.').join('');
    return [...kinds.matchAll(WORD)].map(part => signs.slice(part.index, part.index + part[0].length).join(''));
  });
}

// The words of each sentence, one at a time as tagged text has them.
export const splitSentences = text => text.split(SENTENCE).map(splitWords).filter(words => words.length);

// Kind, first word and the one after the last of each span; an `I-X` that follows no X begins one.
export function spans(tags) {
  const found = [];
  tags.forEach((tag, place) => {
    const kind = tag.slice(2), last = found.at(-1);
    if (tag.startsWith('I-') && last?.kind === kind && last.end === place) last.end++;
    else if (/^[BI]-/.test(tag)) found.push({kind, start: place, end: place + 1});
  });
  return found;
}

const bare = text => text.replace(/\s*\([^)]*\)/g, '').replaceAll('_', ' ').trim() || text;
const FORMS = {
  whole: text => text,
  bare,
  number: text => bare(text).replace(/(?<=\d)\.0+$/, ''),
  head: text => bare(text).split(',')[0].trim() || text,
};

// A text with its slots filled in; a slot of no known part or form stays.
export const fillSlots = (text, parts) => text.replace(SLOT, (slot, name, form = 'whole') =>
  name in parts && form in FORMS ? FORMS[form](parts[name]) : slot);

// A prompt with its placeholders filled in, as Python's str.format does; doubled braces are braces.
export const fillPrompt = (template, values) => template.replace(/\{\{|\}\}|\{(\w+)\}/g, (whole, name) =>
  name === undefined ? whole[0] : values[name] ?? whole);

// Probabilities that follow from log-likelihoods in nats.
export function shares(scores) {
  const most = Math.max(...scores), found = scores.map(one => Math.exp(one - most));
  const sum = found.reduce((all, one) => all + one, 0);
  return found.map(one => one / sum);
}
