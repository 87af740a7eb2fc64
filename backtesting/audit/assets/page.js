// What the other scripts of the page share: the run's data, elements, the theme. Texts become text nodes, never markup.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const run = JSON.parse(byId('run').textContent);
const several = run.symbols.length > 1;

// The run's decisions are short rows; these are their columns.
const decisions = run.decisions.map(([number, symbol, time, outcome, confidence, order, clamps, why], index) => (
  { index, number, symbol, time, outcome, confidence, order, clamps, why }));
const byNumber = new Map(decisions.map((decision) => [decision.number, decision]));

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === 'className' || name === 'onclick' || name === 'type') made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return made;
}

const when = (seconds) => new Date(seconds * 1000).toISOString().slice(0, run.intraday ? 16 : 10).replace('T', ' ');
const number = (value, digits) => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (fraction, digits = 1) => `${number(fraction * 100, digits)}\u00a0%`;
const badge = (outcome) => element('span', { className: `badge ${outcome}` }, outcome);

const themes = ['auto', 'light', 'dark'];
const themeListeners = [];

function setTheme(name) {
  if (name === 'auto') root.removeAttribute('data-theme');
  else root.setAttribute('data-theme', name);
  byId('theme').textContent = `Theme: ${name}`;
  byId('theme').dataset.name = name;
  for (const listener of themeListeners) listener();
}

function remembered() {
  try {
    return localStorage.getItem('agentrader-theme');
  } catch {
    return null; // a browser may refuse storage to a local file
  }
}

function remember(name) {
  try {
    localStorage.setItem('agentrader-theme', name);
  } catch {
    // the choice then lasts as long as the page
  }
}

byId('theme').hidden = false;
byId('theme').addEventListener('click', () => {
  const next = themes[(themes.indexOf(byId('theme').dataset.name) + 1) % themes.length];
  setTheme(next);
  remember(next);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => themeListeners.forEach((listener) => listener()));
setTheme(themes.includes(remembered()) ? remembered() : 'auto');
