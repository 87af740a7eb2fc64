// What the reader gave, as the files of a run: a packed bundle, or loose files. Everything in it is taken as hostile.
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
const WINDOW = 1 << 23;
const BLOCK = 512;
const CORE = ['log.jsonl', 'checkpoints', 'run.pub'];

// What is wrong. `record` is the number of the first record that it touches, null if it touches none.
class Fault {
  constructor(kind, record, detail, file) { Object.assign(this, { kind, record, detail, file }); }
}

async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', data));
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const hexDigest = async (data) => hex(await sha256(data));
const count = (number, what) => `${number.toLocaleString('en-US')} ${what}${number === 1 ? '' : 's'}`;
const quote = (text) => JSON.stringify(String(text).slice(0, 120));

// `given` are {name, data} with data as Uint8Array. `files` maps the names inside a run's folder to their bytes.
async function openGiven(given, claims) {
  const found = { files: new Map(), faults: [], notes: [], packed: false };
  for (const { name, data } of given) {
    if (isZstd(data)) await openArchive(name, data, claims, found);
    else if (isTar(data)) await openBare(name, data, claims, found);
    else if (/\.(zst|tar)$/.test(name)) found.faults.push(new Fault('unreadable archive', null, `${quote(name)} does not begin as one`, name));
    else openLoose(name, data, found);
  }
  return found;
}

async function openArchive(name, data, claims, found) {
  const digest = await hexDigest(data);
  const same = digest === claims.bundle.sha256;
  if (same) found.notes.push(`The file is the one that this certificate names: SHA-256 ${digest}.`);
  let tar;
  try {
    requireModest(data, 2 * claims.bundle.tar_size + WINDOW);
    tar = inflate(data, claims.bundle.tar_size);
  } catch (error) {
    found.packed = true;
    found.faults.push(new Fault('unreadable archive', null, `it does not unpack: ${error.message}`, name));
    return;
  }
  await openTar(name, tar, claims, found);
  if (!same) {
    found.faults.push(new Fault('another archive', null,
      `its SHA-256 is ${digest}; this certificate names ${claims.bundle.sha256}`, name));
  }
}

// A frame of a few bytes may ask for gigabytes to unpack into: each is looked at before anything is (RFC 8878, 3.1.1).
function requireModest(data, most) {
  for (let at = 0; at < data.length;) {
    const flags = data[at + 4];
    const whole = flags >> 5 & 1;
    const sizes = [whole, 2, 4, 8][flags >> 6];
    const content = at + 6 - whole + [0, 1, 2, 4][flags & 3];
    const power = data[at + 5] >> 3;
    const room = whole ? littleEndian(data, content, sizes) : 2 ** (10 + power) * (1 + (data[at + 5] & 7) / 8);
    if (!isZstd(data, at)) throw new Error(`what begins at byte ${at} is no Zstandard frame`);
    if (!(room <= most)) throw new Error(`it asks for ${room.toLocaleString('en-US')} bytes at once`);
    let head = 0;
    for (at = content + sizes; !(head & 1); at += 3 + ((head >> 1 & 3) === 1 ? 1 : head >> 3)) {
      if (at + 3 > data.length) throw new Error('it is cut off');
      head = littleEndian(data, at, 3);
    }
    at += flags & 4;
  }
}

const isZstd = (data, at = 0) => ZSTD.every((byte, place) => data[at + place] === byte);
const littleEndian = (data, at, length) => data.subarray(at, at + length).reduceRight((sum, byte) => sum * 256 + byte, 0);

// Unpacks, and stops where more comes out than a bundle of this run can hold.
function inflate(data, size) {
  const parts = [];
  let length = 0;
  const stream = new fzstd.Decompress((part) => {
    length += part.length;
    if (length > 2 * size + (1 << 20)) throw new Error(`more than ${length.toLocaleString('en-US')} bytes come out of it`);
    parts.push(part.slice());
  });
  for (let at = 0; at < data.length; at += 1 << 16) stream.push(data.subarray(at, at + (1 << 16)), at + (1 << 16) >= data.length);
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const isTar = (data) => text(data, 257, 5) === 'ustar';

async function openBare(name, data, claims, found) {
  if (!await openTar(name, data, claims, found)) {
    found.faults.push(new Fault('another archive', null, `it is not the tar whose SHA-256 this certificate names: ${claims.bundle.tar_sha256}`, name));
  }
}

// True if it is the very tar that was packed.
async function openTar(name, data, claims, found) {
  found.packed = true;
  const same = await hexDigest(data) === claims.bundle.tar_sha256;
  if (same) found.notes.push('The tar inside is the one that this certificate names.');
  const held = [];
  try {
    for (const entry of entries(data)) held.push(entry);
  } catch (error) {
    found.faults.push(new Fault('unreadable archive', null, error.message, name));
  }
  if (held.length && !held.some((entry) => entry.name.startsWith(`${claims.run_id}/`))) {
    const detail = `it holds ${quote(held[0].name.split('/')[0])}, and this certificate is of ${claims.run_id}`;
    found.faults.push(new Fault('another run', null, detail, name));
  } else {
    for (const entry of held) place(entry, claims, found);
  }
  return same;
}

function* entries(data) {
  for (let at = 0; at + BLOCK <= data.length;) {
    const header = data.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return;
    const size = octal(header, 124, 12);
    const sum = header.reduce((total, byte, place) => total + (place >= 148 && place < 156 ? 32 : byte), 0);
    if (!isTar(header) || Number.isNaN(size) || sum !== octal(header, 148, 8)) throw new Error(`the tar is broken at byte ${at}`);
    if (at + BLOCK + size > data.length) throw new Error(`the tar is cut off at byte ${data.length}`);
    const prefix = text(header, 345, 155);
    const name = `${prefix ? `${prefix}/` : ''}${text(header, 0, 100)}`;
    yield { name, type: text(header, 156, 1) || '0', data: data.subarray(at + BLOCK, at + BLOCK + size) };
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new Error('the tar has no end');
}

function place(entry, claims, found) {
  const folder = `${claims.run_id}/`;
  const name = entry.name.startsWith(folder) ? entry.name.slice(folder.length) : null;
  if (entry.type === '5' && name !== null) return;
  if (entry.type !== '0') found.faults.push(new Fault('not a regular file', null, `${quote(entry.name)} is no file in the archive`, entry.name));
  else if (name === null) found.faults.push(new Fault('stray file', null, `${quote(entry.name)} is not in the folder ${quote(folder)}`, entry.name));
  else if (found.files.has(name)) found.faults.push(new Fault('stray file', null, `${quote(name)} is in the archive twice`, name));
  else found.files.set(name, entry.data);
}

function openLoose(name, data, found) {
  let path = name;
  if (/^[0-9a-f]{64}$/.test(name)) path = blobPath(name);
  else if (/^(begin|head)\.tsr$/.test(name)) path = `anchors/${name}`;
  if (found.files.has(path)) found.faults.push(new Fault('stray file', null, `${quote(name)} was given twice`, name));
  else found.files.set(path, data);
}

function text(data, at, length) {
  const part = data.subarray(at, at + length);
  const end = part.indexOf(0);
  return new TextDecoder().decode(end < 0 ? part : part.subarray(0, end));
}

function octal(data, at, length) {
  const digits = text(data, at, length).trim();
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}
