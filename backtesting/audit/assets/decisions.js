// The table of decisions: filtered, a page at a time; the words of agents are searched when a word is typed.
const ROWS = 25;
let found = decisions;
let firstRow = 0;

const chunks = [...document.querySelectorAll('script.transcripts')];
const parsed = new Map();

function chunkOf(decision) {
  const place = Math.floor(decision.index / run.chunk);
  if (!parsed.has(place)) parsed.set(place, JSON.parse(chunks[place].textContent));
  return parsed.get(place);
}

function sessionOf(decision) {
  const chunk = chunkOf(decision);
  return { told: chunk.sessions[decision.index % run.chunk], text: (place) => chunk.strings[place] };
}

function wordsOf(decision) {
  const { told, text } = sessionOf(decision);
  const places = [...told.events.map((event) => event.text ?? event.detail), ...(told.reasons ?? []), ...(told.clamps ?? [])];
  for (const answer of Object.values(told.answers)) places.push(...answer.reasons);
  return `${decision.why}\n${places.map(text).join('\n')}`.toLowerCase();
}

function fits(decision, outcome, symbol, word) {
  if (outcome === 'order' && !decision.order) return false;
  if (outcome === 'limit' && !decision.clamps) return false;
  if (outcome && outcome !== 'order' && outcome !== 'limit' && decision.outcome !== outcome) return false;
  if (symbol !== '' && decision.symbol !== Number(symbol)) return false;
  return !word || wordsOf(decision).includes(word);
}

function rowOf(decision) {
  const link = element('a', { href: `#d${decision.number}`, 'aria-label': `Transcript of decision ${decision.number}` }, String(decision.number));
  const row = element('tr', { 'data-number': String(decision.number), onclick: () => { location.hash = `d${decision.number}`; } },
    element('td', { className: 'number' }, link),
    element('td', {}, when(decision.time)),
    several ? element('td', {}, run.symbols[decision.symbol].name) : null,
    element('td', {}, badge(decision.outcome)),
    element('td', { className: 'number' }, decision.confidence === null ? '' : percent(decision.confidence)),
    element('td', {}, decision.order),
    element('td', { className: 'why' }, decision.why));
  if (`#d${decision.number}` === location.hash) row.setAttribute('aria-current', 'true');
  return row;
}

function drawRows() {
  const shown = found.slice(firstRow, firstRow + ROWS);
  byId('decision-table').tBodies[0].replaceChildren(...shown.map(rowOf));
  const last = firstRow + shown.length;
  byId('page-place').textContent = shown.length
    ? `${number(firstRow + 1, 0)}\u2013${number(last, 0)} of ${number(found.length, 0)}` : 'no decision fits';
  byId('page-before').disabled = firstRow === 0;
  byId('page-after').disabled = last >= found.length;
}

function filter() {
  const word = byId('filter-text').value.trim().toLowerCase();
  const [outcome, symbol] = [byId('filter-outcome').value, byId('filter-symbol').value];
  found = decisions.filter((decision) => fits(decision, outcome, symbol, word));
  firstRow = 0;
  drawRows();
}

function turnPage(step) {
  firstRow += step * ROWS;
  drawRows();
}

function showRow(decision) {
  const place = found.indexOf(decision);
  if (place >= 0) firstRow = Math.floor(place / ROWS) * ROWS;
  drawRows();
}

let typing = 0;
byId('filter-text').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(filter, 150); });
byId('filter-outcome').addEventListener('change', filter);
byId('filter-symbol').addEventListener('change', filter);
byId('filters').addEventListener('submit', (event) => { event.preventDefault(); filter(); });
byId('page-before').addEventListener('click', () => turnPage(-1));
byId('page-after').addEventListener('click', () => turnPage(1));
run.symbols.forEach((symbol, place) => byId('filter-symbol').append(element('option', { value: String(place) }, symbol.name)));
byId('filter-symbol-choice').hidden = !several;
byId('decision-table').querySelector('th.symbol').hidden = !several;
byId('filters').hidden = false;
byId('pager').hidden = decisions.length === 0;
drawRows();
