// Candles with the decisions on them, equity and drawdown below, moving together.
const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, LineSeries, AreaSeries } = LightweightCharts;
const LABEL_WIDTH = 24; // pixels a label may count on before labels hide each other
const SCALE_WIDTH = 88;
const MARGIN = 16; // pixels left of the first bar, so that its labels are whole
let shownSymbol = 0;

const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const faint = (name, alpha) => `${colour(name)}${alpha}`;

function chartOptions() {
  return {
    autoSize: true,
    layout: {
      attributionLogo: false,
      background: { type: 'solid', color: colour('card') },
      textColor: colour('soft'),
      fontFamily: getComputedStyle(document.body).fontFamily,
      panes: { separatorColor: colour('line'), separatorHoverColor: colour('hover'), enableResize: true },
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colour('line') } },
    rightPriceScale: { borderVisible: false, minimumWidth: SCALE_WIDTH },
    timeScale: { borderColor: colour('line'), timeVisible: run.intraday, secondsVisible: false, minBarSpacing: 0.02, rightOffset: 1, lockVisibleTimeRangeOnResize: true },
    crosshair: { mode: 0 },
    localization: { locale: 'en-US', timeFormatter: (time) => `${when(time)} UTC` },
    handleScroll: { vertTouchDrag: false, mouseWheel: false, horzTouchDrag: true, pressedMouseMove: true },
    handleScale: { mouseWheel: false, pinch: true },
  };
}

const priceChart = createChart(byId('price-chart'), chartOptions());
const equityChart = createChart(byId('equity-chart'), chartOptions());
const quiet = { priceLineVisible: false, lastValueVisible: false };
const volumes = priceChart.addSeries(HistogramSeries, { ...quiet, priceScaleId: 'volume', priceFormat: { type: 'volume' } });
volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0.05 } });
const strip = priceChart.addSeries(HistogramSeries, { ...quiet, priceScaleId: 'strip', base: 0 });
strip.priceScale().applyOptions({ scaleMargins: { top: 0.97, bottom: 0 } });
const asMoney = (digits) => ({ type: 'custom', minMove: 10 ** -digits, formatter: (value) => number(value, digits) });
const candles = priceChart.addSeries(CandlestickSeries, { ...quiet, borderVisible: false });
candles.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0.22 } });
const marks = createSeriesMarkers(candles, []);
const heldLine = equityChart.addSeries(LineSeries, { ...quiet, lineWidth: 2, priceFormat: asMoney(2) });
const equityLine = equityChart.addSeries(LineSeries, { ...quiet, lineWidth: 2, priceFormat: asMoney(2) });
const asPercent = { type: 'custom', minMove: 0.0001, formatter: (value) => percent(value) };
const fallArea = equityChart.addSeries(AreaSeries, { ...quiet, lineWidth: 1, invertFilledArea: true, priceFormat: asPercent }, 1);
const heldFall = equityChart.addSeries(LineSeries, { ...quiet, lineWidth: 1, priceFormat: asPercent }, 1);
equityChart.panes()[0].setStretchFactor(3);
equityChart.panes()[1].setStretchFactor(2);

const kinds = {
  orders: 'Orders',
  opinions: 'BUY or SELL without an order',
  failed: 'Failed',
  exits: 'Stops and targets',
};
const wanted = { orders: true, opinions: false, failed: true, exits: true };
const stripColours = { BUY: 'up', SELL: 'down', HOLD: 'line', FAILED: 'failed', UNFINISHED: 'failed' };

function kindOf(decision) {
  if (decision.outcome === 'FAILED') return 'failed';
  if (decision.order) return 'orders';
  return decision.outcome === 'BUY' || decision.outcome === 'SELL' ? 'opinions' : null;
}

function decisionMark(decision, kind, labelled) {
  const shared = { time: decision.time, id: `d${decision.number}` };
  if (kind === 'failed') return { ...shared, position: 'aboveBar', shape: 'square', color: colour('failed'), text: labelled ? 'FAILED' : '' };
  const buying = decision.outcome === 'BUY';
  const place = { position: buying ? 'belowBar' : 'aboveBar' };
  const hue = buying ? 'up' : 'down';
  if (kind === 'opinions') return { ...shared, ...place, shape: 'circle', size: 0.35, color: faint(hue, '99') };
  const text = labelled ? decision.outcome : '';
  return { ...shared, ...place, shape: buying ? 'arrowUp' : 'arrowDown', size: labelled ? 1.3 : 0.5, color: colour(hue), text };
}

function fit(chart, bars) {
  const width = chart.chartElement().clientWidth - SCALE_WIDTH;
  if (width > MARGIN) chart.timeScale().setVisibleLogicalRange({ from: -0.5 - (bars * MARGIN) / (width - MARGIN), to: bars + 0.5 });
  else chart.timeScale().fitContent();
}

function drawMarks() {
  const here = decisions.filter((decision) => decision.symbol === shownSymbol);
  const labelled = here.filter((decision) => ['orders', 'failed'].includes(kindOf(decision))).length * LABEL_WIDTH <= byId('price-chart').clientWidth;
  const drawn = here.filter((decision) => wanted[kindOf(decision)]).map((decision) => decisionMark(decision, kindOf(decision), labelled));
  const exits = run.exits.filter(([symbol]) => wanted.exits && symbol === shownSymbol).map(([, time, reason, price]) => (
    { time, id: `${reason} at ${price}`, position: 'aboveBar', shape: 'circle', size: 0.8, color: colour('ink'), text: labelled ? reason : '' }));
  marks.setMarkers([...drawn, ...exits].sort((one, other) => one.time - other.time));
}

function drawChips() {
  const counts = { orders: 0, opinions: 0, failed: 0, exits: run.exits.filter(([symbol]) => symbol === shownSymbol).length };
  for (const decision of decisions) if (decision.symbol === shownSymbol && kindOf(decision)) counts[kindOf(decision)] += 1;
  const holder = byId('shown');
  holder.querySelectorAll('label').forEach((label) => label.remove());
  for (const [kind, label] of Object.entries(kinds)) {
    if (!counts[kind]) continue;
    const box = element('input', { type: 'checkbox' });
    box.checked = wanted[kind];
    box.addEventListener('change', () => { wanted[kind] = box.checked; drawMarks(); });
    holder.append(element('label', {}, box, `${label} (${number(counts[kind], 0)})`));
  }
  holder.hidden = false;
}

function paint() {
  priceChart.applyOptions(chartOptions());
  equityChart.applyOptions(chartOptions());
  const [up, down] = [colour('up'), colour('down')];
  candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  equityLine.applyOptions({ color: colour('agents') });
  heldLine.applyOptions({ color: colour('held') });
  heldFall.applyOptions({ color: colour('held') });
  fallArea.applyOptions({ lineColor: colour('agents'), topColor: faint('agents', '11'), bottomColor: faint('agents', '44') });
  volumes.setData(run.symbols[shownSymbol].bars.map(([time, open, , , close, volume]) => (
    { time, value: volume, color: faint(close < open ? 'down' : 'up', '44') })));
  strip.setData([...decisionAt.values()].map(({ time, outcome }) => ({ time, value: 1, color: colour(stripColours[outcome]) })));
  drawMarks();
}

let barAt = new Map();
let decisionAt = new Map();

function showSymbol(place) {
  shownSymbol = place;
  const symbol = run.symbols[place];
  barAt = new Map(symbol.bars.map((bar) => [bar[0], bar]));
  decisionAt = new Map(decisions.filter((decision) => decision.symbol === place).map((decision) => [decision.time, decision]));
  candles.applyOptions({ priceFormat: asMoney(symbol.digits) });
  candles.setData(symbol.bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
  paint();
  drawChips();
  priceLegend(null);
}

function priceLegend(time, hovered) {
  const symbol = run.symbols[shownSymbol];
  const bar = barAt.get(time) || symbol.bars[symbol.bars.length - 1];
  if (!bar) return;
  const legend = byId('price-legend');
  const [opened, ...values] = bar;
  const names = ['open', 'high', 'low', 'close'];
  legend.replaceChildren(element('b', {}, several ? `${symbol.name} ${when(opened)}` : when(opened)), ' ');
  names.forEach((name, place) => legend.append(`${name} `, element('b', {}, number(values[place], symbol.digits)), ' '));
  const decision = decisionAt.get(bar[0]);
  if (decision) {
    const sure = decision.confidence === null ? '' : ` ${percent(decision.confidence)}`;
    legend.append(element('a', { href: `#d${decision.number}` }, `decision ${decision.number}`), ' ', badge(decision.outcome), sure);
  }
  if (typeof hovered === 'string' && !hovered.startsWith('d')) legend.append(` ${hovered}`);
}

const equityAt = new Map(run.equity.map((row) => [row[0], row]));

function equityLegend(time) {
  const row = equityAt.get(time) || run.equity[run.equity.length - 1];
  if (!row) return;
  const [at, agents, held, fall, heldBelow] = row;
  byId('equity-legend').replaceChildren(
    element('b', {}, when(at)), ' agents ', element('b', {}, number(agents, 2)), ` (${percent(-fall)} below the peak), buy-and-hold `,
    element('b', {}, number(held, 2)), ` (${percent(-heldBelow)})`);
}

function follow(source, target, series, valueAt) {
  source.subscribeCrosshairMove((param) => {
    if (!param.sourceEvent) return; // moved by the other chart
    priceLegend(param.time ?? null, param.hoveredObjectId);
    equityLegend(param.time ?? null);
    const value = param.time === undefined ? undefined : valueAt(param.time);
    if (value === undefined) target.clearCrosshairPosition();
    else target.setCrosshairPosition(value, param.time, series);
  });
}

let moving = false;
function moveTogether(source, target) {
  source.timeScale().subscribeVisibleTimeRangeChange((range) => {
    if (moving || range === null) return;
    moving = true;
    const logical = source.timeScale().getVisibleLogicalRange();
    if (run.symbols[shownSymbol].bars.length === run.equity.length && logical) target.timeScale().setVisibleLogicalRange(logical);
    else target.timeScale().setVisibleRange(range);
    requestAnimationFrame(() => { moving = false; });
  });
}

function showBar(decision) {
  if (decision.symbol !== shownSymbol) {
    byId('symbol').value = String(decision.symbol);
    showSymbol(decision.symbol);
  }
  const bar = barAt.get(decision.time);
  if (!bar) return;
  const place = run.symbols[shownSymbol].bars.indexOf(bar);
  const range = priceChart.timeScale().getVisibleLogicalRange();
  if (range && (place < range.from || place > range.to)) {
    const half = (range.to - range.from) / 2;
    priceChart.timeScale().setVisibleLogicalRange({ from: place - half, to: place + half });
  }
  priceChart.setCrosshairPosition(bar[4], decision.time, candles);
  priceLegend(decision.time);
  equityLegend(decision.time);
}

equityLine.setData(run.equity.map(([time, value]) => ({ time, value })));
heldLine.setData(run.equity.map(([time, , value]) => ({ time, value })));
fallArea.setData(run.equity.map(([time, , , value]) => ({ time, value })));
heldFall.setData(run.equity.map(([time, , , , value]) => ({ time, value })));
run.symbols.forEach((symbol, place) => byId('symbol').append(element('option', { value: String(place) }, symbol.name)));
byId('symbol-choice').hidden = !several;
byId('symbol').addEventListener('change', () => { showSymbol(Number(byId('symbol').value)); fit(priceChart, run.symbols[shownSymbol].bars.length); });
showSymbol(0);
equityLegend(null);
fit(priceChart, run.symbols[0].bars.length);
fit(equityChart, run.equity.length);
follow(priceChart, equityChart, equityLine, (time) => equityAt.get(time)?.[1]);
follow(equityChart, priceChart, candles, (time) => barAt.get(time)?.[4]);
moveTogether(priceChart, equityChart);
moveTogether(equityChart, priceChart);
priceChart.subscribeClick((param) => {
  const named = /^d(\d+)$/.exec(String(param.hoveredObjectId ?? ''));
  const decision = named ? byNumber.get(Number(named[1])) : decisionAt.get(param.time);
  if (decision) location.hash = `d${decision.number}`;
});
themeListeners.push(paint);

// Paper is light, and narrower than a screen: it takes a picture of each chart, since these follow a window alone.
const PAPER = [660, 320];
function resized(chart, autoSize) {
  const range = chart.timeScale().getVisibleLogicalRange();
  chart.applyOptions({ autoSize });
  if (!autoSize) chart.resize(...PAPER, true);
  if (range) chart.timeScale().setVisibleLogicalRange(range);
}

addEventListener('beforeprint', () => {
  root.setAttribute('data-theme', 'light');
  paint();
  moving = true;
  for (const chart of [priceChart, equityChart]) {
    resized(chart, false);
    const picture = chart.takeScreenshot();
    picture.className = 'paper';
    chart.chartElement().parentElement.append(picture);
    resized(chart, true);
  }
  requestAnimationFrame(() => { moving = false; });
});
addEventListener('afterprint', () => {
  document.querySelectorAll('.paper').forEach((picture) => picture.remove());
  setTheme(byId('theme').dataset.name);
});
