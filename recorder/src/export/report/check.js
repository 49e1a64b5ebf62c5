'use strict';
// Checks the evidence in this file, and the page against it. Written from bundle.cddl, record.cddl, domains.md and note.md.
// A breach ends nothing: all of them are said. What cannot be checked here is said too.
(async () => {
  const here = document.getElementById('here');
  const failures = [], counts = { records: 0, texts: 0, files: 0, signatures: 0, quotes: 0 };
  const fail = what => { if (failures.length < 40) failures.push(what); else failures.extra = (failures.extra || 0) + 1; };
  const utf8 = new TextEncoder(), hex = b => Array.from(b, x => x.toString(16).padStart(2, '0')).join('');
  const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
  const join = (...parts) => {
    const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const p of parts) { all.set(p, at); at += p.length; }
    return all;
  };
  const element = (name, text, to, cls) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (cls) made.className = cls;
    to.append(made);
    return made;
  };

  function say(cls, lines, not) {
    here.className = 'here ' + cls;
    here.replaceChildren();
    element('h3', 'Checked here, by this page', here);
    element('p', lines[0], here, 'says');
    const list = (title, items) => {
      if (!items.length) return;
      element('p', title, here, 'quiet');
      const ul = element('ul', '', here);
      items.forEach(item => element('li', item, ul));
    };
    list(cls === 'bad' ? 'What is wrong:' : 'What that is:', lines.slice(1));
    list('What was not checked here:', not);
  }

  const subtle = globalThis.crypto && crypto.subtle;
  if (!subtle || typeof DecompressionStream === 'undefined') {
    return say('off', ['Nothing was checked again here: this browser does not offer WebCrypto and DecompressionStream to a page like this.',
      'The verdict above is the exporter\u2019s word. How to check it with other software stands at the end.'], []);
  }
  const sha256 = async b => new Uint8Array(await subtle.digest('SHA-256', b));
  async function hmac(key, data) {
    const k = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new Uint8Array(await subtle.sign('HMAC', k, data));
  }
  let ed25519 = true;
  async function signed(key, signature, data, what) {
    if (!ed25519) return;
    let good = false;
    try {
      const k = await subtle.importKey('raw', key, { name: 'Ed25519' }, false, ['verify']);
      good = await subtle.verify({ name: 'Ed25519' }, k, signature, data);
    } catch (error) {
      if (error.name === 'NotSupportedError') { ed25519 = false; return; }
    }
    if (good) counts.signatures++; else fail(what + ' is not rightly signed');
  }

  // CBOR: maps with integer keys, as Map; numbers beyond 2^53 as BigInt.
  function head(b, at) {
    if (at >= b.length) throw new Error('it is cut off');
    const major = b[at] >> 5, info = b[at] & 31;
    if (info < 24) return [major, info, at + 1];
    const width = [1, 2, 4, 8][info - 24];
    if (!width || at + 1 + width > b.length) throw new Error('it is no CBOR that is known here');
    let n = 0n;
    for (let i = 0; i < width; i++) n = n << 8n | BigInt(b[at + 1 + i]);
    return [major, n <= 9007199254740991n ? Number(n) : n, at + 1 + width];
  }
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }), lossy = new TextDecoder('utf-8', { ignoreBOM: true });
  function value(b, at, depth = 0) {
    if (depth > 12) throw new Error('it is too deep');
    const [major, n, next] = head(b, at);
    if (major === 0) return [n, next];
    if (major === 1) return [typeof n === 'bigint' ? -1n - n : -1 - n, next];
    if (major === 2 || major === 3) {
      if (next + n > b.length) throw new Error('it is cut off');
      const part = b.subarray(next, next + n);
      return [major === 2 ? part : strict.decode(part), next + n];
    }
    if (major === 7 && (n === 20 || n === 21)) return [n === 21, next];
    if (major !== 4 && major !== 5 || n > b.length) throw new Error('it is no CBOR that is known here');
    const out = major === 4 ? [] : new Map();
    let to = next;
    for (let i = 0; i < n; i++) {
      let item, key;
      if (major === 5) { [key, to] = value(b, to, depth + 1); }
      [item, to] = value(b, to, depth + 1);
      if (major === 4) out.push(item); else if (out.has(key)) throw new Error('a key stands twice'); else out.set(key, item);
    }
    return [out, to];
  }
  function whole(b) {
    const [v, end] = value(b, 0);
    if (end !== b.length) throw new Error('bytes follow where none may');
    return v;
  }
  // A map's bytes with one of its entries cut out, or with another value in its place.
  function edited(b, key, change) {
    const [major, n, first] = head(b, 0);
    if (major !== 5) throw new Error('it is no map');
    let at = first;
    for (let i = 0; i < n; i++) {
      const [k, v] = value(b, at), [, end] = value(b, v);
      if (k === key) {
        const middle = change ? change(b.subarray(v, end)) : null;
        return middle ? join(b.subarray(0, v), middle, b.subarray(end)) : join(mapHead(n - 1), b.subarray(first, at), b.subarray(end));
      }
      at = end;
    }
    throw new Error('an entry is missing');
  }
  const mapHead = n => n < 24 ? Uint8Array.of(0xa0 | n) : n < 256 ? Uint8Array.of(0xb8, n) : Uint8Array.of(0xb9, n >> 8, n & 255);
  function part(b, key) {
    let found;
    edited(b, key, v => { found = v; return v; });
    return found;
  }
  const be = (n, width) => { const out = new Uint8Array(width); for (let i = width; i--; n = Math.floor(n / 256)) out[i] = n % 256; return out; };
  const named = (text, ...rest) => join(utf8.encode(text), Uint8Array.of(0), ...rest);
  async function inflate(packed, size, most) {
    if (!(size <= most)) throw new Error('packed bytes claim to be too many');
    const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
    const out = [];
    let total = 0;
    for (;;) {
      const { done, value: chunk } = await reader.read();
      if (done) break;
      total += chunk.length;
      if (total > size) throw new Error('packed bytes are more than they say');
      out.push(chunk);
    }
    if (total !== size) throw new Error('packed bytes are fewer than they say');
    return join(...out);
  }

  // The tree of RFC 6962: peaks from the left, the widest first.
  const peaks = [];
  let size = 0;
  async function append(level, hash) {
    if (size % 2 ** level) throw new Error('a hidden run does not lie where it can');
    size += 2 ** level;
    while (peaks.length && peaks[peaks.length - 1][0] === level) {
      hash = await sha256(join(Uint8Array.of(1), peaks.pop()[1], hash));
      level++;
    }
    peaks.push([level, hash]);
  }
  async function root() {
    let node = peaks[peaks.length - 1][1];
    for (let i = peaks.length - 2; i >= 0; i--) node = await sha256(join(Uint8Array.of(1), peaks[i][1], node));
    return node;
  }

  const records = new Map(), files = new Map(), wanted = new Map(), at = new Map();
  const log = { notes: [], commit: null, epoch: 0, keys: new Map() };

  async function record(bytes, step) {
    const seq = size, v = whole(bytes), body = v.get(15), kind = v.get(5);
    const texts = new Map(), held = new Map();
    if (v.get(1) !== seq) fail(`record ${seq} bears another number`);
    const bodyless = () => edited(bytes, 15, b => edited(b, 59));
    if (kind === 0) {
      if (seq) fail(`record ${seq} is a second genesis`);
      log.origin = body.get(51);
      log.identity = body.get(52);
      log.logKey = body.get(53);
      log.keys.set(0, body.get(54));
      log.id = await sha256(bytes);
      await signed(log.identity, body.get(59), named('tacho/v1/sign/genesis', bodyless()), 'the genesis');
    }
    if (kind === 2) {
      if (body.get(69) !== log.epoch) fail(`the seal ${seq} is of another epoch`);
      if (!size || !same(await root(), body.get(61))) fail(`the seal ${seq} has another root than the tree`);
      await signed(log.keys.get(log.epoch), body.get(59), named('tacho/v1/sign/seal', bodyless()), `the seal ${seq}`);
      log.keys.set(++log.epoch, body.get(71));
    }
    if (kind === 3) {
      if (body.has(59)) await signed(log.identity, body.get(59), named('tacho/v1/sign/key', bodyless()), `the key record ${seq}`);
      if (body.get(74) === 1 && body.get(73) === 2) log.logKey = body.get(75);
      if (body.get(74) === 2 && body.get(73) === 4) log.keys.set(++log.epoch, body.get(75));
    }
    const row = step.has(346) ? whole(step.get(346)) : new Map();
    const check = async (domain, number, entry, commitment, what) => {
      const salt = entry[0], data = entry[1];
      const made = await hmac(salt, named(`tacho/v1/${domain}`, be(kind, 2), be(number, 2), be(data.length, 8), data));
      if (commitment && same(made, commitment)) { counts.texts++; return data; }
      fail(`${what} of record ${seq} is not what was committed to`);
      return null;
    };
    const committed = v.get(16) || new Map(), artefacts = v.get(17) || [];
    for (const [number, entry] of row.get(306) || []) {
      const data = await check('content', number, entry, committed.get(number), `text ${number}`);
      if (data) texts.set(number, data);
    }
    for (const [place, entry] of row.get(307) || []) {
      const artefact = artefacts[place];
      const data = artefact && await check('artefact', artefact.get(34), entry, artefact.get(35), `file ${place}`);
      if (!artefact) fail(`record ${seq} has no file ${place}`);
      if (!data) continue;
      const descriptor = whole(data), name = hex(descriptor.get(300));
      held.set(artefact.get(34), name);
      wanted.set(name, descriptor);
    }
    records.set(seq, { v, kind, texts, held });
    counts.records++;
    await append(0, await sha256(join(Uint8Array.of(0), bytes)));
  }

  function note(text) {
    const cut = text.lastIndexOf('\n\n');
    const body = text.slice(0, cut + 1), lines = text.slice(cut + 2).trimEnd().split('\n');
    const [origin, count, rootText] = body.split('\n');
    return { body, origin, size: Number(count), root: bytes64(rootText), lines: lines.map(line => line.replace(/^\u2014 /, '').split(' ')) };
  }
  const bytes64 = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

  async function checkpoint(n) {
    const then = at.get(n.size);
    if (n.origin !== log.origin || !then || !same(then.root, n.root)) return fail(`the checkpoint of size ${n.size} is of another tree`);
    for (const [name, key] of [[log.origin, then.logKey], [`${log.origin}/e${then.epoch}`, then.key]]) {
      const id = (await sha256(join(utf8.encode(name + '\n'), Uint8Array.of(1), key))).subarray(0, 4);
      const lines = n.lines.filter(([who, line]) => who === name && same(bytes64(line).subarray(0, 4), id));
      if (lines.length !== 1) { fail(`the checkpoint of size ${n.size} lacks a signature as ${name}`); continue; }
      await signed(key, bytes64(lines[0][1]).subarray(4), utf8.encode(n.body), `the checkpoint of size ${n.size}`);
    }
  }

  async function bundle(all) {
    let from = 0, headItem, end, before, tree = false, open = null;
    const sizes = new Set();
    const keep = async () => {
      if (size && sizes.has(size)) at.set(size, { root: await root(), epoch: log.epoch, key: log.keys.get(log.epoch), logKey: log.logKey });
    };
    const close = async () => {
      if (!open) return;
      const data = join(...open.parts), descriptor = wanted.get(open.name);
      if (!descriptor) fail('a file belongs to no record');
      else if (data.length !== descriptor.get(302) || !same(await sha256(data), descriptor.get(301))) fail(`the file ${open.name} has other bytes`);
      else { files.set(open.name, data); counts.files++; }
      wanted.delete(open.name);
      open = null;
    };
    while (from < all.length) {
      if (end) throw new Error('something follows the end');
      const [major, length, inner] = head(all, from);
      if (major !== 2 || inner + length > all.length) throw new Error('it is cut off');
      const inside = all.subarray(inner, inner + length), item = whole(inside), sort = item.get(340);
      if ((sort === 1) !== !headItem) throw new Error('its items are out of order');
      if (sort === 1) headItem = item;
      else if (sort === 2) for (const text of item.get(336)) { const n = note(text); log.notes.push(n); sizes.add(n.size); }
      else if (sort === 3) { log.commit = { item, bytes: part(inside, 323) }; sizes.add(item.get(323).get(60)); }
      else if (sort === 4) {
        tree = true;
        for (const step of whole(await inflate(item.get(342), item.get(341), 36 << 20))) {
          if (step.has(345)) await record(step.get(345), step);
          else {
            const stop = size + step.get(343), covers = step.get(344);
            for (const hash of covers) {
              let level = 0;
              while (size % 2 ** (level + 1) === 0 && size + 2 ** (level + 1) <= stop) level++;
              if (size >= stop) throw new Error('a hidden run has too many hashes');
              await append(level, hash);
            }
            if (size !== stop) throw new Error('a hidden run has too few hashes');
          }
          await keep();
        }
      } else if (sort === 5 && tree) {
        const name = hex(item.get(300));
        if (!open || open.name !== name) { await close(); open = { name, parts: [] }; }
        open.parts.push(await inflate(item.get(342), item.get(341), 1 << 20));
      } else if (sort === 6) { await close(); end = item; before = from; end.bytes = inside; } else throw new Error('its items are out of order');
      from = inner + length;
    }
    if (!end) throw new Error('it is cut off');
    const digest = await sha256(join(all.subarray(0, before), edited(end.bytes, 301)));
    if (!same(digest, end.get(301))) throw new Error('its SHA-256 is another than it says');
    for (const name of wanted.keys()) fail(`the file ${name} is missing`);
    if (!records.has(0) || records.get(0).kind !== 0) throw new Error('it shows no genesis');
    if (size !== headItem.get(60) || !same(await root(), headItem.get(61))) fail('the evidence is of another tree than it says');
    if (end.get(351) !== counts.records) fail('the evidence counts other records than are in it');
    for (const n of log.notes) await checkpoint(n);
    if (log.commit) {
      const said = log.commit.item.get(323), then = at.get(said.get(60));
      if (!then || !same(then.root, said.get(61)) || !same(log.id, said.get(320))) fail('the last commit is of another tree');
      else await signed(then.key, log.commit.item.get(59), named('tacho/v1/sign/commit', log.commit.bytes), 'the last commit');
    }
    if (!log.notes.length && !log.commit) fail('nothing in the evidence is signed');
    return headItem;
  }

  // The page against the evidence. The text on it is escaped as schemas/src/safe.rs does.
  const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{110bd}\u{110cd}\u{13430}-\u{1345f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
  const safe = text => text.replace(hidden, c => {
    const n = c.codePointAt(0);
    if (c === '\n' || c === '\t') return c;
    return c === '\r' ? '\\r' : n < 0x100 ? '\\x' + n.toString(16).padStart(2, '0') : `\\u{${n.toString(16)}}`;
  });
  function page() {
    const quote = (node, data, what) => {
      const text = data && safe(lossy.decode(data)), shown = node.textContent;
      const good = data && ('cut' in node.dataset ? shown.length && text.startsWith(shown) : text === shown);
      if (good) counts.quotes++; else fail(what + ' on the page is not what the evidence holds');
      return good;
    };
    for (const card of document.querySelectorAll('[data-seq]')) {
      const seq = Number(card.dataset.seq), found = records.get(seq);
      let good = found && String(found.kind) === card.dataset.kind;
      if (!good) fail(`record ${seq} on the page is not in the evidence`);
      for (const node of good ? card.querySelectorAll('[data-field]') : []) {
        if (!quote(node, found.texts.get(Number(node.dataset.field)), `a text of record ${seq}`)) good = false;
      }
      for (const node of good ? card.querySelectorAll('[data-role]') : []) {
        if (!quote(node, files.get(found.held.get(Number(node.dataset.role))), `the difference in record ${seq}`)) good = false;
      }
      card.classList.add(good ? 'checked' : 'failed');
    }
    for (const node of document.querySelectorAll('time[data-of]')) {
      const found = records.get(Number(node.dataset.of)), ns = found && BigInt(found.v.get(3));
      const text = found && new Date(Number(ns / 1000000n)).toISOString().slice(0, 19).replace('T', ' ') + ' UTC';
      if (!found || String(ns) !== node.dataset.ns || text !== node.textContent) fail(`a time of record ${node.dataset.of} on the page is another`);
    }
  }

  try {
    say('off', ['Checking \u2026'], []);
    const all = bytes64(document.getElementById('evidence').textContent.replace(/\s+/g, ''));
    const head = await bundle(all);
    page();
    const wire = join(...['ssh-ed25519', log.identity].flatMap(p => { const b = typeof p === 'string' ? utf8.encode(p) : p; return [be(b.length, 4), b]; }));
    const print = 'SHA256:' + btoa(String.fromCharCode(...await sha256(wire))).replace(/=+$/, '');
    const not = [
      `whose log it is: it is signed under ${print}; compare that with what you were told by another way than this file`,
      'that nothing was left out which meets the selection, and what lies after the last record: the evidence shows ' + `${counts.records} of ${head.get(60)} records`,
      'the sentences, numbers and rows that the exporter made of the records, and differences that it made itself',
      'BLAKE3, which no browser has: the chain from record to record, and the names of files (their SHA-256 was checked)',
      'signatures of people, and whether what somebody says is true',
    ];
    if (!ed25519) not.unshift('any signature: this browser has no Ed25519. So only that things fit each other was checked, not who signed them');
    if (failures.length) {
      say('bad', ['FAILED: this page or its evidence is not what was recorded.', ...failures, ...(failures.extra ? [`and ${failures.extra} more`] : [])], not);
    } else {
      say('good', ['It holds, as far as a page can check itself.',
        `${counts.records} of ${head.get(60)} records are in the log\u2019s tree` + (ed25519 ? ', whose root is signed' : ''),
        ...(ed25519 ? [`${counts.signatures} signatures of genesis, keys, seals, checkpoints and the last commit`] : []),
        `${counts.texts} texts and descriptors are what was committed to, ${counts.files} files have their SHA-256`,
        `${counts.quotes} quotations and differences on this page, and every time, are those of the evidence`], not);
      const save = document.getElementById('save'), button = element('button', 'Save the evidence as evidence.tacho', save);
      button.type = 'button';
      save.hidden = false;
      button.addEventListener('click', () => {
        const link = document.createElement('a');
        link.href = URL.createObjectURL(new Blob([all], { type: 'application/octet-stream' }));
        link.download = 'evidence.tacho';
        link.click();
        URL.revokeObjectURL(link.href);
      });
    }
  } catch (error) {
    for (const card of document.querySelectorAll('[data-seq]')) card.classList.add('failed');
    say('bad', ['FAILED: the evidence in this page cannot be read.', String(error && error.message || error), ...failures], ['anything beyond that']);
  }
  addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(d => { d.open = true; }));
})();
