// Whether the files are what was signed: leaves, tree, signatures, blobs, renderings, and the head on this page.
const MOST = 100;
const YOURS = 'you gave';
const encodeLine = (line) => {
  const bytes = new Uint8Array(line.length + 1);
  bytes.set(line, 1);
  return bytes;
};

async function node(left, right) {
  const bytes = new Uint8Array(65);
  bytes[0] = 1;
  bytes.set(left, 1);
  bytes.set(right, 33);
  return sha256(bytes);
}

// The tree of RFC 6962, grown leaf by leaf.
class Tree {
  constructor() {
    this.size = 0;
    this.peaks = [];
  }

  async add(leaf) {
    let grown = leaf;
    for (let size = this.size; size % 2 === 1; size = (size - 1) / 2) grown = await node(this.peaks.pop(), grown);
    this.peaks.push(grown);
    this.size += 1;
  }

  async root() {
    let root = this.peaks[this.peaks.length - 1];
    for (let place = this.peaks.length - 2; place >= 0; place -= 1) root = await node(this.peaks[place], root);
    return root;
  }
}

// What was found: `faults` in the order of the records, `notes` what holds, `facts` what the log says of its run.
async function prove(given, claims, pinned, watch) {
  const { files, faults, notes, packed } = await openGiven(given, claims);
  const found = { faults, notes, facts: {}, records: 0, head: null, lacking: [] };
  const missing = CORE.filter((name) => !files.has(name));
  if (missing.length) {
    if (!packed) found.lacking = missing;
    else if (!faults.some((fault) => ['unreadable archive', 'another run'].includes(fault.kind))) {
      for (const name of missing) faults.push(new Fault('missing file', null, `${name} is not in what you gave`, name));
    }
    return inOrder(found);
  }
  const keys = await checkSigners(files.get('run.pub'), claims, found);
  const signed = await readCheckpoints(files.get('checkpoints'), keys, claims, found);
  const log = { ...splitLines(files.get('log.jsonl')), wanted: [claims.head, pinned].map((head) => Number(head.split('-')[0])) };
  await checkLog(log, signed, claims, found, watch);
  await checkHeads(log, signed, claims, pinned, found);
  readRecords(log.lines, found);
  await putBack(files, found);
  const end = found.facts['run.end'];
  if (!found.faults.length && !(end && end.body.status === 'complete' && found.facts.rendered)) {
    logFault('incomplete', null, `the run is not complete in its ${count(found.records, 'record')}, and only a complete one is shared`, found);
  }
  await checkFiles(files, claims, packed, found);
  if (!found.faults.length && found.head !== claims.head) {
    logFault('rewritten', null, 'it does not come to the head of this certificate', found);
  }
  return inOrder(found);
}

function inOrder(found) {
  const rank = (fault) => {
    if (['foreign key', 'forged certificate', 'malformed certificate', 'foreign certificate'].includes(fault.kind)) return -1;
    if (fault.record !== null) return fault.record;
    if (fault.kind === 'another archive') return Number.MAX_VALUE;
    return fault.kind === 'stray file' ? Number.MAX_SAFE_INTEGER + 1 : Number.MAX_SAFE_INTEGER;
  };
  found.faults.sort((one, other) => (rank(one) === rank(other) ? (other.file === 'log.jsonl') - (one.file === 'log.jsonl') : rank(one) - rank(other)));
  return found;
}

async function checkSigners(data, claims, found) {
  let chains;
  try {
    chains = await readCertificates(data, claims.run_id);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    found.faults.push(new Fault(error.kind || 'malformed certificate', null, `run.pub: ${error.message}`, 'run.pub'));
    return [];
  }
  const before = found.faults.length;
  for (const { project } of chains) {
    const fingerprint = await hexDigest(project.raw);
    if (!claims.signers.includes(fingerprint)) {
      found.faults.push(new Fault('foreign key', null, `signed for by the key ${fingerprint}, which this certificate does not name`, 'run.pub'));
    }
  }
  if (found.faults.length === before) found.notes.push(`The run's keys are certified by the project key ${claims.signers.join(', ')}.`);
  return chains.map((chain) => chain.key);
}

// The checkpoints that hold, and the leaf of each record; null where the note that listed it does not hold.
async function readCheckpoints(data, keys, claims, found) {
  const { found: all, whole } = splitNotes(data);
  const signed = { points: [], leaves: [], old: [], roots: new Map(), blind: false };
  for (const [place, note] of keys.length ? all.entries() : []) {
    const at = `checkpoint ${place + 1} of ${all.length}`;
    try {
      await openNote(note, keys);
      takeCheckpoint(parseCheckpoint(note.text), at, signed, claims, found);
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      signed.blind = true;
      pointFault(error.kind || 'edited checkpoint', signed, `${at}: ${error.message}`, found);
    }
  }
  if (!whole) {
    const kind = signed.leaves.length < Number(claims.head.split('-')[0]) ? 'dropped checkpoint' : 'appended';
    pointFault(kind, signed, 'what stands behind the last whole checkpoint is none', found);
  }
  return signed;
}

function pointFault(kind, signed, detail, found) {
  if (found.faults.length < MOST) found.faults.push(new Fault(kind, signed.leaves.length, detail, 'checkpoints'));
}

function takeCheckpoint(point, at, signed, claims, found) {
  if (point.origin !== `agentrader/run/${claims.run_id}`) throw new NoteError(`it is of ${quote(point.origin)}`, 'foreign checkpoint');
  const before = signed.leaves.length;
  const start = point.size - point.leaves.length;
  if (point.size <= before) {
    signed.old.push({ point, detail: `${at} covers ${count(point.size, 'record')}, and one before it ${before}` });
    return;
  }
  if (start < before) {
    const detail = `${at} lists records from ${start} on again, and the one before it ends at ${before}`;
    found.faults.push(new Fault('repeated checkpoint', Math.max(0, start), detail, 'checkpoints'));
  }
  if (start > before && !signed.blind) {
    pointFault('dropped checkpoint', signed, `${at} lists records from ${start} on, and the one before it ends at ${before}`, found);
  }
  for (let gap = before; gap < start; gap += 1) signed.leaves.push(null);
  for (const leaf of point.leaves.slice(Math.max(0, before - start))) signed.leaves.push(hex(leaf));
  signed.points.push(point);
  signed.blind = false;
}

function splitLines(data) {
  const lines = [];
  let start = 0;
  for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
    lines.push(data.subarray(start, end));
    start = end + 1;
  }
  return { lines, torn: data.length - start };
}

async function checkLog(log, signed, claims, found, watch) {
  const leaves = [];
  for (let at = 0; at < log.lines.length; at += 1000) {
    leaves.push(...await Promise.all(log.lines.slice(at, at + 1000).map((line) => hexDigest(encodeLine(line)))));
    watch(`${leaves.length.toLocaleString('en-US')} of ${count(log.lines.length, 'record')} read`);
  }
  log.leaves = leaves;
  found.records = leaves.length;
  if (!signed.points.length) return;
  await compare(log, signed, claims, found);
  await growTree(log, signed, found, watch);
  for (const { point, detail } of signed.old) {
    const kind = signed.roots.get(point.size) === hex(point.root) ? 'repeated checkpoint' : 'fork';
    found.faults.push(new Fault(kind, Math.max(0, point.size - point.leaves.length), detail, 'checkpoints'));
  }
  if (log.torn) logFault('appended', leaves.length, `${log.torn} bytes stand behind the last record`, found);
}

function logFault(kind, record, detail, found) {
  if (found.faults.length < MOST) found.faults.push(new Fault(kind, record, detail, 'log.jsonl'));
}

// Every signed root against the tree of the signed leaves. Where no note holds, the log's own leaf stands in.
async function growTree(log, signed, found, watch) {
  const tree = new Tree();
  const grow = async (size) => {
    while (tree.size < size) {
      const leaf = signed.leaves[tree.size] ?? log.leaves[tree.size];
      if (leaf === undefined) return false;
      await tree.add(Uint8Array.from(leaf.match(/../g), (pair) => parseInt(pair, 16)));
      if (wanted.has(tree.size)) signed.roots.set(tree.size, hex(await tree.root()));
    }
    return true;
  };
  const wanted = new Set([...log.wanted, ...signed.old.map(({ point }) => point.size)]);
  for (const point of signed.points) {
    if (!await grow(point.size)) return;
    const root = await tree.root();
    watch(`${tree.size.toLocaleString('en-US')} of ${signed.leaves.length.toLocaleString('en-US')} leaves in the tree`);
    if (!equal(root, point.root)) {
      const from = signed.leaves.indexOf(null);
      signed.broken = true;
      if (from < 0) found.faults.push(new Fault('fork', point.size - point.leaves.length, `the leaves are those of the log, and the root at ${point.size} is of another one`, 'checkpoints'));
      else logFault('edited', from, `one of the records from ${from} to ${point.size - 1} is not what was signed`, found);
      return;
    }
  }
  const last = signed.points[signed.points.length - 1];
  found.head = `${last.size}-${hex(last.root)}`;
  found.notes.push(`${count(signed.points.length, 'signature')} and as many roots hold, over ${count(last.size, 'record')}.`);
  await grow(Math.min(log.leaves.length, Math.max(...log.wanted)));
}

async function checkHeads(log, signed, claims, pinned, found) {
  if (signed.broken || found.faults.some((fault) => fault.file === 'log.jsonl')) return;
  for (const [head, whose] of [[claims.head, 'this certificate names'], ...(pinned ? [[pinned, YOURS]] : [])]) {
    const [size, root] = [Number(head.split('-')[0]), head.slice(head.indexOf('-') + 1)];
    const last = signed.points.length ? signed.points[signed.points.length - 1].size : 0;
    const same = signed.roots.get(size) === root;
    if (whose === YOURS && same && size < last) {
      found.notes.push(`The head that ${whose} is this run's after ${count(size, 'record')}: what was written behind them it does not cover.`);
    } else if (found.head === head) found.notes.push(`The head is the one that ${whose}: ${head}`);
    else if (found.records < size) logFault('truncated', found.records, `the head that ${whose} covers ${count(size, 'record')}, and the log ends after ${found.records}`, found);
    else if (!same) logFault('rewritten', null, `all of it agrees with itself, and not with the head that ${whose}`, found);
    else if (last < size) found.faults.push(new Fault('dropped checkpoint', size - 1, `the head that ${whose} covers ${count(size, 'record')}, and no checkpoint does`, 'checkpoints'));
    else logFault('appended', size, `the head that ${whose} covers ${count(size, 'record')}, and ${last} are signed here`, found);
  }
}
