import { spawn } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AuditLog, openAuditLog } from '../../../gateway/watching/audit-log.ts';
import { verifyAuditLog } from '../../../gateway/watching/audit-verify.ts';

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'audit-log-')), 'log');
});
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));

function add(log: AuditLog, telling: Record<string, string | number>): Promise<void> {
  return new Promise((resolve, reject) => log.append(telling, (error) => (error ? reject(error) : resolve())));
}

async function written(
  records: number,
  options: { segmentSize?: number; keepSegments?: number } = {},
): Promise<string[]> {
  const log = await openAuditLog({ folder, ...options });
  for (let at = 0; at < records; at++) await add(log, { kind: 'call', client: 'ann', tool: `tool-${at}` });
  await log.close();
  return (await readdir(folder)).filter((name) => name.startsWith('audit-')).sort();
}

describe('the audit log', () => {
  test('verifies, and goes on where it ended', async () => {
    await written(5);
    await written(5);
    expect(await verifyAuditLog(folder)).toMatchObject({
      segments: 1,
      records: 10,
      first: 1,
      head: { n: 10 },
      faults: [],
    });
  });

  test('writes what comes at once in one go, in its order', async () => {
    const log = await openAuditLog({ folder });
    await Promise.all(Array.from({ length: 1000 }, (_, at) => add(log, { kind: 'call', at: `${at}` })));
    await log.close();
    const lines = (await readFile(join(folder, 'audit-00000001.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(lines.map((_, at) => at + 1));
    expect((await verifyAuditLog(folder)).faults).toEqual([]);
  });

  test('takes any text, much at once, a time of its own, and nothing at all', async () => {
    const log = await openAuditLog({ folder, now: () => 0 });
    const texts = ['ü€😀', '"\\\n\u0000', '\ud800', '€'.repeat(5_000), 'x'];
    const all = [...texts.map((text) => ({ text })), { at: '2026-01-02T03:04:05.678Z' }, {}];
    // First each alone, then more than fits into one buffer.
    for (const telling of all) await add(log, telling);
    await Promise.all([...Array.from({ length: 40 }, () => all[3] ?? {}), ...all].map((telling) => add(log, telling)));
    await log.close();
    const lines = (await readFile(join(folder, 'audit-00000001.jsonl'), 'utf8')).trim().split('\n');
    const told = lines.map((line) => JSON.parse(line) as { n: number; at: string; text?: string });
    for (const part of [told.slice(0, 7), told.slice(-7)]) {
      expect(part.map(({ text }) => text)).toEqual([...texts, undefined, undefined]);
      const epoch = '1970-01-01T00:00:00.000Z';
      expect(part.map(({ at }) => at)).toEqual([...texts.map(() => epoch), '2026-01-02T03:04:05.678Z', epoch]);
    }
    expect(lines.map((line) => line.match(/"at":/g)?.length)).toEqual(lines.map(() => 1));
    expect(await verifyAuditLog(folder)).toMatchObject({ records: 54, head: { n: 54 }, faults: [] });
  });

  test('rotates, drops the oldest, and says so', async () => {
    expect((await written(60, { segmentSize: 2000 })).length).toBeGreaterThan(3);
    expect(await verifyAuditLog(folder)).toMatchObject({ records: 60, faults: [] });
    const left = await written(30, { segmentSize: 2000, keepSegments: 2 });
    expect(left.length).toBeLessThanOrEqual(3);
    const verified = await verifyAuditLog(folder);
    expect(verified).toMatchObject({ faults: [] });
    expect(verified.first).toBeGreaterThan(1);
  });

  test('is of one writer', async () => {
    const log = await openAuditLog({ folder });
    await expect(openAuditLog({ folder })).rejects.toMatchObject({ code: 'audit-log-busy' });
    await log.close();
    await (await openAuditLog({ folder })).close();
  });

  test('finds every changed byte', async () => {
    const [name = ''] = await written(6);
    const path = join(folder, name);
    const good = await readFile(path);
    for (let at = 0; at < good.length; at += 5) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1;
      await writeFile(path, bad);
      expect((await verifyAuditLog(folder)).faults.length, `byte ${at}`).toBeGreaterThan(0);
    }
  });

  test('finds records that were cut out, moved, doubled, or cut off at either end', async () => {
    const [name = ''] = await written(8);
    const path = join(folder, name);
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    const variants: Record<string, readonly string[]> = {
      'cut out': [...lines.slice(0, 3), ...lines.slice(4)],
      moved: [...lines.slice(0, 3), lines[4]!, lines[3]!, ...lines.slice(5)],
      doubled: [...lines.slice(0, 4), ...lines.slice(3)],
      'cut off at its end': lines.slice(0, -1),
      'cut off at its start': lines.slice(1),
      emptied: [],
    };
    for (const [what, kept] of Object.entries(variants)) {
      await writeFile(path, kept.map((line) => `${line}\n`).join(''));
      expect((await verifyAuditLog(folder)).faults.length, what).toBeGreaterThan(0);
      if (what.startsWith('cut off at its end') || what === 'emptied') {
        await expect(openAuditLog({ folder }), what).rejects.toMatchObject({ code: 'audit-log-broken', exit: 3 });
      }
    }
  });

  test('finds a whole segment that is gone', async () => {
    const names = await written(60, { segmentSize: 2000 });
    await rm(join(folder, names[1]!));
    expect((await verifyAuditLog(folder)).faults.length).toBeGreaterThan(0);
  });

  test('finds that all of it is gone, and a folder where none ever was', async () => {
    const names = await written(3);
    for (const name of [...names, 'head']) await rm(join(folder, name));
    for (const place of [folder, join(folder, 'nowhere')]) {
      await expect(verifyAuditLog(place)).rejects.toMatchObject({ code: 'audit-log-missing', input: place, exit: 3 });
    }
  });

  test('one that was made anew as a whole is told by an anchor from elsewhere', async () => {
    await written(8);
    const { head } = await verifyAuditLog(folder);
    await rm(folder, { recursive: true });
    const log = await openAuditLog({ folder });
    for (let at = 0; at < 8; at++) await add(log, { kind: 'call', client: 'nobody', tool: 'nothing' });
    await log.close();
    expect((await verifyAuditLog(folder)).faults).toEqual([]);
    expect((await verifyAuditLog(folder, head)).faults).toHaveLength(1);
  });

  test('cuts off half a record that a crash left, and says so', async () => {
    const [name = ''] = await written(3);
    await appendFile(join(folder, name), '{"n":4,"at":"2026-');
    expect((await verifyAuditLog(folder)).faults).toEqual([]);
    await written(1);
    const text = await readFile(join(folder, name), 'utf8');
    expect(text).toContain('"kind":"recovered","bytes":18');
    expect(await verifyAuditLog(folder)).toMatchObject({ records: 5, faults: [] });
  });

  test('refuses while it can’t be written, keeps what it took, and goes on when there is room', async () => {
    const module = new URL('../../../gateway/watching/audit-log.ts', import.meta.url).href;
    const script = `
      const { openAuditLog } = await import(${JSON.stringify(module)});
      const log = await openAuditLog({ folder: ${JSON.stringify(folder)} });
      const add = () => new Promise((resolve) => log.append({ kind: 'call', x: 'y'.repeat(500) }, resolve));
      let taken = 0;
      for (let error; !error; ) { error = await add(); if (!error) taken += 1; }
      const second = await add();
      process.stdout.write(JSON.stringify({ taken, code: second.code, trouble: log.trouble().code, head: log.head().n }));
      process.exit(0);
    `;
    // A file that may not grow further, as on a full disk, but for this process alone.
    const child = spawn(
      'sh',
      ['-c', 'trap "" XFSZ; ulimit -f 16; exec "$0" --input-type=module -e "$1"', process.execPath, script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk;
    });
    await new Promise((resolve) => child.once('close', resolve));
    const told = JSON.parse(out) as { taken: number };
    expect(told).toMatchObject({ code: 'audit-log-unwritable', trouble: 'audit-log-unwritable', head: told.taken });
    expect(told.taken).toBeGreaterThan(3);
    expect(await verifyAuditLog(folder)).toMatchObject({ records: told.taken, faults: [] });
    await written(2);
    expect(await verifyAuditLog(folder)).toMatchObject({ records: told.taken + 2, faults: [] });
  });

  test('that can’t be made says why, and not that another gateway writes it', async () => {
    await mkdir(folder);
    await writeFile(join(folder, 'file'), '');
    await expect(openAuditLog({ folder: join(folder, 'file', 'audit') })).rejects.toMatchObject({
      code: 'audit-log-unwritable',
      message: expect.stringContaining('ENOTDIR'),
    });
    // A segment that is a folder: root can't write to it either.
    await writeFile(join(folder, 'head'), '');
    await mkdir(join(folder, 'audit-00000001.jsonl'));
    await expect(openAuditLog({ folder })).rejects.toMatchObject({ code: 'audit-log-unwritable' });
  });

  test('without its head is broken', async () => {
    await written(3);
    await rm(join(folder, 'head'));
    await expect(openAuditLog({ folder })).rejects.toMatchObject({ code: 'audit-log-broken' });
    expect((await verifyAuditLog(folder)).faults.length).toBeGreaterThan(0);
  });

  test('kill -9 in the middle of writing loses nothing of what it said was written', async () => {
    const module = new URL('../../../gateway/watching/audit-log.ts', import.meta.url).href;
    const script = `
      const { openAuditLog } = await import(${JSON.stringify(module)});
      const log = await openAuditLog({ folder: ${JSON.stringify(folder)}, segmentSize: 20000 });
      let n = 0;
      const next = () => log.append({ kind: 'call', x: 'y'.repeat(n % 300) }, (error) => {
        if (error) throw error;
        n += 1;
        process.stdout.write(log.head().n + '\\n');
        next();
      });
      for (let k = 0; k < 8; k++) next();
    `;
    let least = 0;
    for (let round = 0; round < 5; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => {
        out += chunk;
        if (out.length > 500 + round * 700) child.kill('SIGKILL');
      });
      await new Promise((resolve) => child.once('close', resolve));
      const told = Math.max(...out.trim().split('\n').slice(0, -1).map(Number));
      expect(told).toBeGreaterThan(least);
      const verified = await verifyAuditLog(folder);
      expect(verified.faults).toEqual([]);
      expect(verified.head.n).toBeGreaterThanOrEqual(told);
      least = told;
    }
  });

  test('a cut in the middle of a segment is not taken for a crash', async () => {
    const names = await written(60, { segmentSize: 2000 });
    const path = join(folder, names[0]!);
    await truncate(path, (await readFile(path)).length - 10);
    expect((await verifyAuditLog(folder)).faults.length).toBeGreaterThan(0);
  });
});
