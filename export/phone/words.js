// The words of the app in the reader's language, English where a language has none.

const FIRST = 'eng';
let site, locale = FIRST;

export function useSite(given) {
  site = given;
  const wanted = [remembered(), ...navigator.languages.map(tag => tag.split('-')[0])];
  const codes = Object.keys(site.texts);
  locale = wanted.map(tag => codes.find(code => code === tag || site.locales[code]?.[0] === tag)).find(Boolean) ?? FIRST;
}

function remembered() {
  try { return localStorage.getItem('locale'); } catch { return null; }
}

export function say(key, values = {}) {
  const [part, name] = key.split('.');
  const text = site.texts[locale]?.[part]?.[name] ?? site.texts[FIRST][part][name] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, one) => one in values ? values[one] : whole);
}

// Everything that was made with `data-say` gets its words; `placeholder` and `label` likewise.
export function speak(root = document) {
  document.documentElement.lang = site.locales[locale]?.[0] ?? 'en';
  for (const one of root.querySelectorAll('[data-say]')) one.textContent = say(one.dataset.say);
  for (const one of root.querySelectorAll('[data-hint]')) one.placeholder = say(one.dataset.hint);
  for (const one of root.querySelectorAll('[data-label]')) one.setAttribute('aria-label', say(one.dataset.label));
}

export function localeChooser(select, changed) {
  const codes = Object.keys(site.texts);
  select.replaceChildren(...codes.map(code => new Option(site.locales[code]?.[1] ?? code, code, false, code === locale)));
  select.setAttribute('aria-label', say('app.language'));
  select.hidden = codes.length < 2;
  select.onchange = () => {
    locale = select.value;
    try { localStorage.setItem('locale', locale); } catch { /* nothing is kept in a private window */ }
    select.setAttribute('aria-label', say('app.language'));
    speak();
    changed();
  };
}

export const megabytes = bytes => {
  const found = bytes / 1e6;
  return found < 10 ? found.toFixed(1) : Math.round(found).toString();
};

// An element with attributes and children; text is never read as HTML.
export function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'say') one.dataset.say = value;
    else if (name === 'hint') one.dataset.hint = value;
    else if (value !== false && value !== null) one.setAttribute(name, value === true ? '' : value);
  }
  one.append(...children);
  return one;
}

// A label above a control.
export const field = (key, control) => make('label', {class: 'field'}, make('span', {say: key}), control);

export function chooser(id, pairs, key) {
  const select = make('select', {id});
  select.replaceChildren(...pairs.map(([value, words, name]) => {
    const option = make('option', {value});
    if (name) option.dataset.say = name; else option.textContent = words;
    return option;
  }));
  return [select, field(key, select)];
}
