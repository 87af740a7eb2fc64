// Names what was done to a log where it first parts from what was signed, by the rules of `scripts.verify`: is the record
// that stands there signed for another place, and does the one that should stand there stand elsewhere?
const AROUND = 64;

async function compare({ lines, leaves }, signed, claims, found) {
  const due = signed.leaves;
  const wrong = [];
  for (let at = 0; at < Math.min(leaves.length, due.length); at += 1) {
    if (due[at] !== null && leaves[at] !== due[at]) wrong.push(at);
  }
  if (wrong.length) {
    const kind = await nameChange(wrong[0], lines, leaves, due, claims.run_id, found);
    const inPlace = kind === 'edited' || kind === 're-encoded';
    for (const at of inPlace && leaves.length === due.length ? wrong.slice(1, MOST) : []) {
      await nameChange(at, lines, leaves, due, claims.run_id, found);
    }
  } else if (leaves.length < due.length) {
    logFault('truncated', leaves.length, `the log ends after ${count(leaves.length, 'record')}, and ${due.length} were signed`, found);
  } else if (leaves.length > due.length && due.length >= Number(claims.head.split('-')[0])) {
    logFault('appended', due.length, `${count(leaves.length - due.length, 'record')} stand behind the signed end`, found);
  }
}

async function nameChange(at, lines, leaves, due, runId, found) {
  const named = (kind, detail) => {
    logFault(kind, at, `record ${at} ${detail}`, found);
    return kind;
  };
  const value = valueOf(lines[at]);
  if (value !== undefined && await leafOf(value) === due[at]) return named('re-encoded', 'has other bytes that read as what was signed');
  const near = lines.slice(at + 1, at + 1 + AROUND);
  const run = otherRun(value, near, runId);
  if (run) return named('spliced', `is of the run ${quote(run)}`);
  const later = await standsLater(at, near, leaves, due);
  const place = await signedPlace(at, value, leaves, due);
  if (place === null && !later) return named('edited', 'says something else than what was signed');
  if (place === null) return named('inserted', 'was never signed, and the one that was stands behind it');
  if (place < at) return named('duplicated', `is record ${place} once more`);
  if (later) return named('reordered', `is record ${place}, and the one that was signed here stands behind it`);
  return named('deleted', `is missing: what stands here is record ${place}`);
}

// Where the record that stands here was signed, under its own number or a higher one; null if it was not.
async function signedPlace(at, value, leaves, due) {
  const own = due.indexOf(leaves[at]);
  if (own >= 0) return own;
  for (let step = 1; step < AROUND && at + step < due.length; step += 1) {
    if (await renumbered(value, at + step, -step) === due[at + step]) return at + step;
  }
  return null;
}

async function standsLater(at, near, leaves, due) {
  if (leaves.indexOf(due[at], at + 1) >= 0) return true;
  for (const [step, line] of near.entries()) if (await renumbered(valueOf(line), at, step + 1) === due[at]) return true;
  return false;
}

// The leaf of a record that had the number `seq` before the log moved by `shift` from there on.
async function renumbered(value, seq, shift) {
  const causes = value && value['audit.caused_by'];
  if (!Array.isArray(causes)) return undefined;
  const first = Math.min(seq, seq + shift);
  return leafOf({ ...value, 'audit.seq': seq, 'audit.caused_by': causes.map((cause) => (Number.isInteger(cause) && cause >= first ? cause - shift : cause)) });
}

// The run that the record names, or the first one that is named behind it, if it is not this one.
function otherRun(value, near, runId) {
  const own = value && value['audit.slot'] ? [value] : near.map(valueOf);
  const named = own.map(runOf).find((run) => run !== null);
  return named === undefined || named === runId ? null : named;
}

function runOf(value) {
  if (value === null || typeof value !== 'object') return null;
  const slot = value['audit.slot'];
  if (typeof slot === 'string' && slot.includes('/')) return slot.split('/')[0];
  const named = value.kind === 'run.begin' && value.body ? value.body.run_id : null;
  return typeof named === 'string' ? named : null;
}

const read = (line) => new TextDecoder('utf-8', { fatal: true }).decode(line);
const leafOf = (value) => hexDigest(encodeLine(encoder.encode(canonical(value))));

function valueOf(line) {
  try {
    return JSON.parse(read(line));
  } catch {
    return undefined;
  }
}

// RFC 8785: names in order, numbers and texts as ECMAScript writes them.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}
