// What was said behind one decision, and what came of it. The address of the page names the decision: #d17.
const panel = byId('transcript');
let opener = null;

const items = (texts) => (texts.length ? element('ul', {}, ...texts.map((text) => element('li', {}, text))) : null);
const agentName = (agent) => agent.replaceAll('_', ' ');
const joined = (parts) => parts.filter(Boolean).join(' \u00b7 ');

function answerLine(answer) {
  const sure = answer.confidence === undefined ? '' : `${percent(answer.confidence)} confident`;
  const rest = joined([sure, ...(answer.terms ?? []), answer.evidence?.length ? `rests on ${answer.evidence.join(', ')}` : '']);
  return element('p', { className: 'summary' }, badge(answer.action), element('span', {}, rest));
}

function callLine(event) {
  const tokens = event.tokens ? `${number(event.tokens[0], 0)} tokens in, ${number(event.tokens[1], 0)} out` : '';
  const latency = event.latency === null || event.latency === undefined ? '' : `${number(event.latency, 2)} s`;
  const cost = event.tokens ? (event.cost === null ? 'cost unknown' : `${event.cost} USD`) : '';
  return element('p', { className: 'note' }, joined([event.model, tokens, latency, cost, `record ${event.record}`]));
}

function turn(event, answer, text) {
  const made = element('section', { className: 'turn' }, element('h3', {}, agentName(event.agent)));
  if (event.trouble) {
    const then = event.then ? `; ${event.then}` : '';
    made.append(element('p', { className: 'alert' }, `${event.trouble}: ${text(event.detail)}${then} (record ${event.record})`));
    return made;
  }
  if (event.origin) made.append(element('p', { className: 'alert' }, `Not traced to a provider's response; origin: ${event.origin}.`));
  if (answer) made.append(answerLine(answer), items(answer.reasons.map(text)) ?? '');
  const said = text(event.text);
  const details = element('details', {}, element('summary', {}, 'As it was said'), element('pre', {}, said));
  details.open = !answer || !said.trimStart().startsWith('{');
  made.append(details, callLine(event));
  return made;
}

function turns(told, text) {
  const last = new Map();
  told.events.forEach((event, place) => { if (!event.trouble) last.set(event.agent, place); });
  return told.events.map((event, place) => turn(event, last.get(event.agent) === place ? told.answers[event.agent] : null, text));
}

const fillNames = { order: 'Filled', stop: 'Stopped out', target: 'Target reached' };

function orderItems(order) {
  const filled = order.fills.map((fill) => (
    `${fillNames[fill.by] ?? fill.by}: ${fill.what} in the bar of ${fill.bar} (${fill.costs}; record ${fill.record})`));
  const ended = order.endings.map((ending) => `${ending.what} (record ${ending.record})`);
  return [`Order: ${order.what}`, ...filled, ...ended];
}

function followed(told, text) {
  const lines = told.orders.flatMap(orderItems);
  const limits = (told.clamps ?? []).map((clamp) => `Limit ${text(clamp)}`);
  return element('section', {}, element('h3', {}, 'What followed'),
    items([...limits, ...lines]) ?? element('p', { className: 'note' }, 'No order.'),
    told.orders.length ? null : (limits.length ? element('p', { className: 'note' }, 'No order.') : null));
}

function conclusion(told, text) {
  const sure = told.confidence === null || told.confidence === undefined ? '' : `${percent(told.confidence)} confident`;
  const facts = joined([told.symbol, `bar ${told.bar}`, `decided ${told.as_of}`, `price ${told.price}`, `record ${told.record}`]);
  const made = element('section', {},
    element('p', { className: 'summary' }, badge(told.outcome), element('span', {}, joined([sure, ...(told.terms ?? [])]))),
    element('p', { className: 'note' }, facts));
  if (told.failure) {
    const who = told.failure.agent ? ` (${agentName(told.failure.agent)})` : '';
    made.append(element('p', { className: 'alert' }, `${told.failure.reason}${who}: ${text(told.failure.detail)}`));
  }
  made.append(items((told.reasons ?? []).map(text)) ?? '');
  return made;
}

function heading(decision) {
  const step = (label, title, other) => {
    const button = element('button', { type: 'button', title, onclick: () => { location.hash = `d${other.number}`; } }, label);
    button.disabled = !other;
    return button;
  };
  return element('header', {},
    element('h2', {}, `Decision ${number(decision.number, 0)} of ${number(decisions.length, 0)}`),
    step('Previous', 'Left arrow', decisions[decision.index - 1]),
    step('Next', 'Right arrow', decisions[decision.index + 1]),
    element('button', { type: 'button', title: 'Escape', onclick: close }, 'Close'));
}

function open(decision) {
  if (panel.hidden) opener = document.activeElement;
  const { told, text } = sessionOf(decision);
  panel.replaceChildren(heading(decision), conclusion(told, text), followed(told, text), ...turns(told, text));
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add('reading');
  requestAnimationFrame(() => requestAnimationFrame(() => showBar(decision))); // once the chart has its new width
  showRow(decision);
  panel.focus({ preventScroll: true });
}

function close() {
  if (panel.hidden) return;
  panel.hidden = true;
  document.body.classList.remove('reading');
  priceChart.clearCrosshairPosition();
  history.replaceState(null, '', location.pathname + location.search);
  const read = byId('decision-table').querySelector('tr[aria-current] a')?.textContent;
  drawRows(); // makes the rows anew, so the row's link has to be found again
  const row = read && byId('decision-table').querySelector(`tr[data-number="${read}"] a`);
  const back = opener?.isConnected && opener !== document.body ? opener : row;
  if (back) back.focus({ preventScroll: true });
}

function openNamed() {
  const named = /^#d(\d+)$/.exec(location.hash);
  const decision = named && byNumber.get(Number(named[1]));
  if (decision) open(decision);
  else if (!location.hash) close(); // the browser's way back, for one on a telephone the only one
}

addEventListener('hashchange', openNamed);
addEventListener('keydown', (event) => {
  if (panel.hidden || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === 'Escape') close();
  const current = decisions[(byNumber.get(Number(location.hash.slice(2)))?.index ?? -2)];
  const typed = event.target.closest?.('input, select, textarea');
  const other = current && { ArrowLeft: decisions[current.index - 1], ArrowRight: decisions[current.index + 1] }[event.key];
  if (other && !typed) location.hash = `d${other.number}`;
});
openNamed();
