// Signed notes as C2SP has them: checkpoints of a log, and the certificates that lead from a run's key to its project's.
const encoder = new TextEncoder();
const LINK = { run: [], host: ['run'], project: ['run', 'host', 'project'] };
const imported = new Map();

class NoteError extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

const encode64 = (bytes) => btoa(String.fromCharCode(...bytes));

// Standard base64 in its one spelling.
function decode64(text) {
  let bytes;
  try {
    if (text.length > 200) throw new RangeError();
    bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    throw new NoteError(`${quote(text)} is not base64`);
  }
  if (encode64(bytes) !== text) throw new NoteError('base64 that is not canonical');
  return bytes;
}

const equal = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);

// The notes of a file: {text, line} with the signed text and the line of its signature.
function splitNotes(data) {
  const parts = new TextDecoder('utf-8', { ignoreBOM: true }).decode(data).split('\n\n');
  const rest = parts.pop();
  const found = [];
  for (let place = 0; place + 1 < parts.length; place += 2) found.push({ text: `${parts[place]}\n`, line: parts[place + 1] });
  return { found, whole: rest === '' && parts.length % 2 === 0 };
}

async function parseKey(text) {
  const [, name, id, coded] = /^([!-*,-~]+)\+([0-9a-f]{8})\+(.*)$/.exec(text) || [];
  const raw = decode64(coded || '');
  if (raw.length !== 33 || raw[0] !== 1) throw new NoteError('not an Ed25519 key of the form name+id+key');
  const made = (await sha256(new Uint8Array([...encoder.encode(`${name}\n`), ...raw]))).slice(0, 4);
  if (hex(made) !== id) throw new NoteError(`the id of the key ${quote(name)} does not fit it`);
  return { name, id: made, raw: raw.slice(1), text };
}

async function signs(key, signature, text) {
  if (!imported.has(key.text)) {
    imported.set(key.text, await crypto.subtle.importKey('raw', key.raw, 'Ed25519', false, ['verify']));
  }
  return crypto.subtle.verify('Ed25519', imported.get(key.text), signature, encoder.encode(text));
}

// The one of `keys` that signed the note. A good signature under another name or spelling is told from a bad one.
async function openNote(note, keys) {
  const [dash, name, coded, ...more] = note.line.split(' ');
  let signature = new Uint8Array();
  try {
    signature = Uint8Array.from(atob(coded || ''), (letter) => letter.charCodeAt(0));
  } catch {
    // no base64: said below
  }
  if (dash !== '\u2014' || more.length || signature.length !== 68) throw new NoteError('its last line is no signature', 'edited checkpoint');
  const id = signature.subarray(0, 4);
  for (const key of [...keys].sort((one, other) => equal(other.id, id) - equal(one.id, id))) {
    if (!await signs(key, signature.subarray(4), note.text)) continue;
    if (key.name !== name || !equal(key.id, id)) throw new NoteError(`${quote(name)} is not the name of the key that signed it`, 'edited checkpoint');
    if (encode64(signature) !== coded) throw new NoteError('its signature is spelled in another way', 're-encoded checkpoint');
    return key;
  }
  const alike = keys.some((key) => key.id.filter((byte, place) => byte === id[place]).length >= 2);
  if (alike) throw new NoteError(`the signature of ${quote(name)} does not fit what it signs`, 'edited checkpoint');
  throw new NoteError(`signed by ${quote(name)} with a key that nobody vouches for`, 'foreign checkpoint');
}

function parseCheckpoint(text) {
  const [origin, size, root, ...rest] = text.split('\n');
  if (rest.pop() !== '' || !/^(0|[1-9][0-9]{0,14})$/.test(size)) throw new NoteError('not a checkpoint', 'edited checkpoint');
  const hashes = [root, ...rest].map(decode64);
  if (hashes.some((hash) => hash.length !== 32)) throw new NoteError('a hash in it has not 32 bytes', 'edited checkpoint');
  return { origin, size: Number(size), root: hashes[0], leaves: hashes.slice(1) };
}

// The run's keys, and for each chain of certificates the project's key and the machine. Throws NoteError with a kind.
async function readCertificates(data, runId) {
  const { found, whole } = splitNotes(data);
  if (!whole || !found.length) throw new NoteError('a certificate is cut off, or there is none', 'malformed certificate');
  const chains = [];
  let links = [];
  for (const note of found) {
    links.push({ note, ...await parseCertificate(note.text) });
    const last = links[links.length - 1];
    if (last.subject !== 'project' || !await isSignedBy(last, last)) continue;
    await checkChain(links, runId);
    chains.push(links);
    links = [];
  }
  if (links.length) throw new NoteError(`nobody vouches for the key ${quote(links[links.length - 1].key.name)}`, 'forged certificate');
  return chains.map((chain) => ({
    key: chain[0].key,
    project: chain.find((link) => link.subject === 'project').key,
    host: (chain.find((link) => link.subject === 'host') || {}).name,
  }));
}

async function parseCertificate(text) {
  const [title, whose, keyText, issued, end, ...more] = text.split('\n');
  const [subject, name, ...rest] = (whose || '').split(' ');
  try {
    const key = await parseKey(keyText || '');
    const due = subject === 'project' ? name : `agentrader/${subject}/${name}`;
    const fits = title === 'agentrader/certificate' && Object.hasOwn(LINK, subject) && !rest.length && !more.length
      && end === '' && key.name === due && (subject !== 'project' || name === 'agentrader/project')
      && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/.test(issued);
    if (fits) return { subject, name, key };
  } catch (error) {
    throw new NoteError(error.message, 'malformed certificate');
  }
  throw new NoteError(`not a certificate: ${quote(text)}`, 'malformed certificate');
}

async function isSignedBy(link, issuer) {
  try {
    await openNote(link.note, [issuer.key]);
    return true;
  } catch (error) {
    if (error instanceof NoteError) return false;
    throw error;
  }
}

async function checkChain(links, runId) {
  for (let place = 0; place + 1 < links.length; place += 1) {
    const [link, issuer] = [links[place], links[place + 1]];
    if (!await isSignedBy(link, issuer)) throw new NoteError(`${link.key.name} is not certified by ${issuer.key.name}`, 'forged certificate');
    if (!LINK[issuer.subject].includes(link.subject)) throw new NoteError(`the key of a ${issuer.subject} cannot vouch for that of a ${link.subject}`, 'forged certificate');
  }
  if (links[0].subject !== 'run' || links[0].name !== runId) throw new NoteError(`it is for the ${links[0].subject} ${quote(links[0].name)}, not for the run ${runId}`, 'foreign certificate');
}
