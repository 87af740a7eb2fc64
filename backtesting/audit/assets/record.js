// What the log says of its run, and whether the files beside it are those that it names.
const RENDERING = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;

// Bodies as the records hold them: `run.end` and `rendered` are the last ones that no recovery followed.
function readRecords(lines, found) {
  const facts = { blobs: new Map(), stamps: new Map() };
  const bad = new Set(found.faults.map((fault) => fault.record));
  for (const [at, line] of lines.entries()) {
    const record = valueOf(line);
    const sound = record && record['audit.seq'] === at && typeof record.kind === 'string' && record.body && typeof record.body === 'object';
    if (!sound) {
      if (!bad.has(at)) logFault('malformed', at, `record ${at} is no record of that number`, found);
      continue;
    }
    take(record, at, facts);
  }
  found.facts = facts;
}

const isReference = (value) => Boolean(value) && typeof value === 'object' && Object.keys(value).sort().join() === 'blob,media';
const blobPath = (digest) => `blobs/sha256/${String(digest).slice(0, 2)}/${digest}`;

// A long value lies beside the log: of those that the page is held against, what was given is put in its place.
async function putBack(files, found) {
  for (const [kind, name] of [['run.begin', 'question'], ['run.end', 'summary']]) {
    const fact = found.facts[kind];
    if (!fact || !isReference(fact.body[name])) continue;
    const { blob } = fact.body[name];
    const data = files.get(blobPath(blob));
    if (!data) found.lacking.push(String(blob));
    else if (await hexDigest(data) === blob) fact.body = { ...fact.body, [name]: valueOf(data) };
  }
}

function take({ kind, body }, at, facts) {
  for (const value of Object.values(body)) if (isReference(value) && !facts.blobs.has(value.blob)) facts.blobs.set(value.blob, at);
  if (kind === 'run.begin' && at === 0) facts['run.begin'] = { at, body };
  else if (kind === 'run.end') {
    facts['run.end'] = { at, body };
    delete facts.rendered;
  } else if (kind === 'rendered') facts.rendered = { at, body };
  else if (kind === 'project.entry') facts[kind] = facts[kind] || { at, body };
  else if (kind === 'anchor' && body.stamp) facts.stamps.set(`anchors/${body.moment}.tsr`, { at, digest: body.stamp.sha256 });
  else if (kind === 'recovery') {
    delete facts['run.end'];
    delete facts.rendered;
  }
}

// A packed run has all its files. Of loose ones, those that were given are checked.
async function checkFiles(files, claims, packed, found) {
  const due = dueFiles(found.facts);
  const checked = { blobs: 0, files: 0 };
  for (const [name, { at, digest, kind }] of due) {
    if (files.has(name)) {
      const own = await hexDigest(files.get(name));
      if (own === digest) checked[kind === 'replaced blob' ? 'blobs' : 'files'] += 1;
      else found.faults.push(new Fault(kind, at, `${name} has the SHA-256 ${own}; record ${at} names ${digest}`, name));
    } else if (packed) {
      const missing = kind === 'replaced blob' ? 'missing blob' : 'missing file';
      found.faults.push(new Fault(missing, at, `${name} is missing; record ${at} names it`, name));
    }
  }
  for (const name of files.keys()) {
    if (CORE.includes(name) || due.has(name)) continue;
    // A blob that nothing refers to may be left from a record that a crash cut off.
    if (claims.files.includes(name) && name.startsWith('blobs/')) found.notes.push(`${quote(name)} lies in the folder, and no record answers for it.`);
    else found.faults.push(new Fault('stray file', null, `${quote(name)} is in no record`, name));
  }
  found.notes.push(`${count(checked.blobs, 'blob')} and ${count(checked.files, 'other file')} have the digests that the log names.`);
  const left = due.size - checked.blobs - checked.files;
  if (!packed && left > 0) found.notes.push(`Not looked at, because not given: ${count(left, 'file')} of the folder.`);
}

function dueFiles(facts) {
  const due = new Map();
  for (const [digest, at] of facts.blobs) {
    due.set(blobPath(digest), { at, digest, kind: 'replaced blob' });
  }
  const rendered = facts.rendered && facts.rendered.body.files;
  for (const [name, digest] of Object.entries(rendered || {})) {
    if (RENDERING.test(name)) due.set(name, { at: facts.rendered.at, digest, kind: 'edited rendering' });
  }
  for (const [name, { at, digest }] of facts.stamps) due.set(name, { at, digest, kind: 'forged time stamp' });
  return due;
}
