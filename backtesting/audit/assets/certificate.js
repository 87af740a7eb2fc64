// The page's own part: takes files from the reader, shows what was found. Texts become text nodes, never markup.
const byId = (id) => document.getElementById(id);
const claims = JSON.parse(byId('claims').textContent);
const HEAD = /^(0|[1-9][0-9]{0,15})-[0-9a-f]{64}$/;
// The first example of RFC 8032, 7.1: a browser that does not know Ed25519 must not say that a signature is bad.
const KNOWN = {
  key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
  signature: 'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
};
// What this page cannot leave out, and what it says of itself.
const NEEDED = [
  '/run_id', '/question/symbols', '/question/interval', '/question/start_on', '/question/end_on', '/question/initial_cash', '/model_note',
  '/status', '/summary/final_equity', '/summary/total_return', '/summary/failed', '/result_digest',
];
const OWN = { head: [claims.head], signer: claims.signers, name: [claims.bundle.name], sha256: [claims.bundle.sha256], tar: [claims.bundle.tar_sha256] };
let turn = 0;
let last = [];

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const bytesOf = (digits) => Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));

async function able() {
  try {
    const key = await crypto.subtle.importKey('raw', bytesOf(KNOWN.key), 'Ed25519', false, ['verify']);
    return await crypto.subtle.verify('Ed25519', key, bytesOf(KNOWN.signature), new Uint8Array());
  } catch {
    return false;
  }
}

async function check(list) {
  const own = turn += 1;
  last = [...list];
  const pinned = byId('head').value.trim();
  byId('head').setAttribute('aria-invalid', String(Boolean(pinned) && !HEAD.test(pinned)));
  if (pinned && !HEAD.test(pinned)) return show('cannot', 'Not checked', ['The head that you gave is none: it reads <size>-<64 digits>, as the run printed it.']);
  if (!globalThis.crypto || !crypto.subtle) return show('cannot', 'Not checked', ['This browser lends no cryptography to a page that came this way. Save the page and open the file, or use python -m scripts.verify, below.']);
  if (!await able()) return show('cannot', 'Not checked', ['This browser cannot check Ed25519 signatures. Use a newer one, or python -m scripts.verify, below.']);
  show('busy', 'Checking', ['reading']);
  try {
    const given = await Promise.all(last.map(bytesIn));
    const found = await prove(given, claims, pinned, (text) => own === turn && show('busy', 'Checking', [text]));
    if (own === turn) conclude(found, pinned);
  } catch (error) {
    const why = error instanceof Unread ? error.message
      : `The check itself did not come to an end: ${error.message}. python -m scripts.verify, below, takes runs of any size.`;
    if (own === turn) show('cannot', 'Not checked', [why]);
  }
}

class Unread extends Error {}

// A folder can be dropped like a file, and cannot be read like one.
async function bytesIn(file) {
  try {
    return { name: file.name, data: new Uint8Array(await file.arrayBuffer()) };
  } catch {
    throw new Unread(`This browser could not read ${quote(file.name)}. Of a folder, give the files that are in it; of a file that was changed meanwhile, give it once more; python -m scripts.verify, below, takes runs of any size.`);
  }
}

function conclude(found, pinned) {
  if (found.lacking.length && !found.faults.length) {
    return show('cannot', 'Not checked', [`You gave no ${found.lacking.join(' and no ')}. The check needs ${CORE.join(', ')} together, or the packed run.`]);
  }
  checkPage(found);
  const said = found.facts['run.end'] ? [`The log itself says: ${summary(found.facts)}`] : [];
  if (!found.faults.length) {
    const head = pinned ? [] : ['You gave no head of your own, so this is the run that the page is about. Whether the page is honest, a head that reached you by another way shows.'];
    return show('verified', 'Verified', [...said, SENDERS, ...head], found);
  }
  const [first, more] = [found.faults[0], found.faults.length - 1];
  const where = first.record === null ? first.file : `record ${first.record} of the log${first.file === 'log.jsonl' ? '' : ` (${first.file})`}`;
  return show('refuted', `Not verified: ${first.kind}`, [`At ${where}.${more ? ` ${count(more, 'fault')} more below it.` : ''}`], found);
}

const SENDERS = 'What this page says beside its headline, head, signer, digests and \u201cIn the log\u2019s words\u201d was not compared: it is its sender\u2019s word.';

function show(verdict, title, lines, found = { faults: [], notes: [] }) {
  const box = byId('outcome');
  box.setAttribute('aria-busy', String(verdict === 'busy'));
  box.dataset.verdict = verdict;
  const faults = found.faults.map((fault) => element('tr', {},
    element('td', { class: 'number' }, fault.record === null ? '\u2013' : String(fault.record)),
    element('td', { class: 'kind' }, fault.kind), element('td', {}, fault.file), element('td', { class: 'why' }, fault.detail)));
  const heads = ['Record', 'What was done', 'Where', 'Detail'].map((name) => element('th', { scope: 'col' }, name));
  box.replaceChildren(
    element('h3', {}, title), ...lines.map((line) => element('p', {}, line)),
    ...(faults.length ? [element('div', { class: 'scroll' }, element('table', {}, element('thead', {}, element('tr', {}, ...heads)), element('tbody', {}, ...faults)))] : []),
    ...(found.notes.length ? [element('p', { class: 'note' }, 'What holds:'), element('ul', {}, ...found.notes.map((note) => element('li', {}, note)))] : []),
  );
}

function pointed(body, pointer) {
  return pointer.split('/').slice(1).reduce((value, name) => (
    value !== null && typeof value === 'object' && Object.hasOwn(value, name) ? value[name] : undefined), body);
}

function spoken(value) {
  if (value === undefined) return undefined;
  if (Array.isArray(value)) return value.map(spoken).join(', ');
  if (value === null) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

// The page's own figures against the records that they are from.
function checkPage(found) {
  const cells = document.querySelectorAll('[data-pointer]');
  // A log that is not what was signed says nothing about the page.
  if (!found.facts['run.begin'] || found.faults.some((fault) => CORE.includes(fault.file))) return;
  const before = found.faults.length;
  for (const cell of cells) {
    const fact = found.facts[cell.dataset.kind];
    const said = fact && spoken(pointed(fact.body, cell.dataset.pointer));
    if (shown(said) !== cell.textContent) pageFault(fact ? fact.at : null, cell.textContent, cell.dataset.pointer, `the log ${quote(said)}`, found);
  }
  checkNumbers(found);
  checkOwn(found);
  const told = new Set(Array.from(cells, (cell) => cell.dataset.pointer));
  for (const pointer of NEEDED) if (!told.has(pointer)) pageFault(null, 'nothing', pointer, 'the log does', found);
  if (found.faults.length === before) found.notes.push(`The headline and all ${cells.length} values on this page under \u201cIn the log\u2019s words\u201d are the log\u2019s.`);
}

// Rounded figures: the numbers in a text, each against its value in the log. A value that the log does not have is passed over.
function checkNumbers(found) {
  const [begin, end] = [found.facts['run.begin'], found.facts['run.end']];
  const due = end ? [pointed(begin.body, '/question/initial_cash'), pointed(end.body, '/summary/final_equity'), pointed(end.body, '/summary/total_return')] : [];
  const texts = ['became', 'rate'].map((name) => byId(name) ? byId(name).textContent : '');
  const numbers = [...numbersIn(texts[0]).slice(0, 2), ...numbersIn(texts[1])];
  const same = numbers.length === 3 && due.every((value, place) => value === null || isNear(numbers[place], Number(value)));
  if (!same) pageFault(end ? end.at : null, texts.join(' '), 'the headline', `the log ${quote(due.map(spoken).join(', '))}`, found);
}

function numbersIn(text) {
  return Array.from(text.matchAll(/([+\u2212-]?)([0-9][0-9,]*)(?:\.([0-9]+))?(\s*%)?/g), ([, sign, whole, decimals = '', percent]) => {
    const unit = percent ? 0.01 : 1;
    const size = Number(`${whole.replaceAll(',', '')}.${decimals || 0}`) * unit;
    return { value: sign && sign !== '+' ? -size : size, within: unit / 2 / 10 ** decimals.length };
  });
}

const isNear = ({ value, within }, due) => Math.abs(value - due) <= within * 1.000001 + Math.abs(due) * 1e-12;

// What the page says of itself, where people read it, against what the check goes by.
function checkOwn(found) {
  for (const [name, due] of Object.entries(OWN)) {
    const told = Array.from(document.querySelectorAll(`[data-own="${name}"]`), (cell) => cell.textContent);
    if (told.join() !== due.join()) pageFault(null, told.join(', '), `the ${name}`, `its own check goes by ${quote(due.join(', '))}`, found);
  }
}

function pageFault(record, told, what, other, found) {
  found.faults.push(new Fault('edited certificate', record, `this page says ${quote(told)} for ${what}, and ${other}`, 'certificate.html'));
}

// As the page shows text of a log: what moves the cursor, turns or hides is shown by its number.
const shown = (text) => text === undefined ? undefined : text.replace(new RegExp(claims.unseen, 'gu'), (letter) => {
  const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  const code = letter.codePointAt(0);
  const digits = code.toString(16);
  if (code > 0xffff) return `\\U${digits.padStart(8, '0')}`;
  return short[letter] || (code <= 0xff ? `\\x${digits.padStart(2, '0')}` : `\\u${digits.padStart(4, '0')}`);
});

function summary(facts) {
  const told = facts['run.end'].body.summary || {};
  const parts = [
    `final equity ${spoken(told.final_equity)}`, `return ${told.total_return === null ? 'none' : `${(100 * told.total_return).toFixed(2)} %`}`,
    `${spoken(told.decisions)} decisions, ${spoken(told.failed)} failed`, `result digest ${spoken(facts['run.end'].body.result_digest)}`,
  ];
  return parts.map(shown).join('; ');
}

const zone = byId('drop');
byId('choose').hidden = false;
byId('idle').remove();
byId('files').addEventListener('change', (event) => event.target.files.length && check(event.target.files));
// Anywhere on the page: what is dropped beside the box, a browser would open in the page's place.
const holdsFiles = (event) => event.dataTransfer.types.includes('Files');
addEventListener('dragover', (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  zone.classList.add('over');
});
addEventListener('dragleave', (event) => event.relatedTarget || zone.classList.remove('over'));
addEventListener('drop', (event) => {
  zone.classList.remove('over');
  if (!holdsFiles(event)) return;
  event.preventDefault();
  if (event.dataTransfer.files.length) check(event.dataTransfer.files);
  byId('check').scrollIntoView({ block: 'nearest' });
});
byId('head').addEventListener('change', () => last.length && check(last));
