import { wheelInvalid } from './faults.ts';

/** What RECORD says of one file. */
export interface RecordedFile {
  /** URL-safe base64 without padding, as RECORD has it; undefined where it says nothing, as of itself. */
  readonly sha256: string | undefined;
  /** In bytes. */
  readonly size: number | undefined;
}

const LINES = 200_000;

/**
 * Reads a wheel's RECORD (CSV of path, hash and size) by path.
 * @throws McpBuildError `wheel-invalid` for a file that is named twice in different ways, or a hash of another kind than SHA-256
 */
export function parseRecord(text: string, wheel: string): ReadonlyMap<string, RecordedFile> {
  const files = new Map<string, RecordedFile>();
  let count = 0;
  for (const [path = '', hash = '', size = ''] of rows(text, wheel)) {
    count += 1;
    if (count > LINES) throw wheelInvalid(wheel, `has a RECORD of more than ${LINES} lines`);
    if (path === '') continue;
    const sha256 = sha256In(hash);
    if (hash !== '' && sha256 === undefined) {
      throw wheelInvalid(wheel, `has a RECORD that gives ${path} a hash which is no SHA-256`);
    }
    if (!/^[0-9]{0,15}$/.test(size))
      throw wheelInvalid(wheel, `has a RECORD that gives ${path} a size which is no number`);
    const file = { sha256, size: size === '' ? undefined : Number(size) };
    const before = files.get(path);
    if (before && (before.sha256 !== file.sha256 || before.size !== file.size)) {
      throw wheelInvalid(wheel, `has a RECORD that names ${path} twice`);
    }
    files.set(path, file);
  }
  return files;
}

/**
 * Some tools write hex, which the format doesn't know, and no installer minds: pip and uv don't hold files against RECORD. The same 256 bits
 * say the same, and the whole wheel has been held against its own hash before.
 */
function sha256In(hash: string): string | undefined {
  const hex = /^sha256=([0-9A-Fa-f]{64})$/.exec(hash)?.[1];
  if (hex !== undefined) return Buffer.from(hex, 'hex').toString('base64url');
  return /^sha256=([A-Za-z0-9_-]{43})=?$/.exec(hash)?.[1];
}

/** RECORD as an installer writes it: sorted by bytes, itself last in the sense of the format (no hash, no size). */
export function formatRecord(files: ReadonlyMap<string, RecordedFile>): string {
  return [...files]
    .map(([path, { sha256, size }]) => [
      path,
      sha256 === undefined ? '' : `sha256=${sha256}`,
      size === undefined ? '' : String(size),
    ])
    .sort(([a = ''], [b = '']) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((row) => `${row.map(quoted).join(',')}\n`)
    .join('');
}

function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/** CSV as Python's `csv` module reads it by default. */
function* rows(text: string, wheel: string): Generator<readonly string[]> {
  // Nearly every line of nearly every RECORD has no quote in it, and one may have a hundred thousand lines.
  if (!text.includes('"')) {
    for (const line of text.split(/\r\n|\r|\n/)) {
      if (line !== '') yield line.split(',');
    }
    return;
  }
  let row: string[] = [];
  let field = '';
  let inside = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] ?? '';
    if (inside) {
      if (letter !== '"') field += letter;
      else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else inside = false;
    } else if (letter === '"' && field === '') inside = true;
    else if (letter === ',') {
      row.push(field);
      field = '';
    } else if (letter === '\n' || letter === '\r') {
      if (letter === '\r' && text[at + 1] === '\n') at += 1;
      if (row.length > 0 || field !== '') yield [...row, field];
      row = [];
      field = '';
    } else field += letter;
  }
  if (inside) throw wheelInvalid(wheel, 'has a RECORD with a quote that is never closed');
  if (row.length > 0 || field !== '') yield [...row, field];
}
