import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { zip } from '../builders/pypi/wheel.ts';

/** A record as OSV publishes it: https://ossf.github.io/osv-schema/ */
export interface OsvRecord {
  readonly id: string;
  readonly modified: string;
  readonly [field: string]: unknown;
}

export interface OsvOptions {
  /** Ids on one page of an answer; all by default. */
  readonly page?: number;
  /** Answers this instead of the right thing. */
  readonly fault?: (path: string) => { readonly status: number; readonly text: string } | 'stall' | undefined;
}

export interface FakeOsv {
  readonly url: string;
  readonly asked: readonly { readonly path: string; readonly body: unknown }[];
  close(): Promise<void>;
}

interface Query {
  readonly package: { readonly name: string; readonly ecosystem: string };
  readonly version: string;
  readonly page_token?: string;
}

/** An export as OSV's bucket has it: one JSON file a record. */
export function osvExport(records: readonly (OsvRecord | string)[]): Buffer {
  return zip(
    records.map((record, at) => ({
      path: typeof record === 'string' ? `broken-${at}.json` : `${record.id}.json`,
      bytes: Buffer.from(typeof record === 'string' ? record : JSON.stringify(record)),
      deflate: true,
    })),
  );
}

/** OSV on loopback: `POST /v1/querybatch` with pages, `GET /v1/vulns/<id>`, and its bucket of exports. */
export async function osv(records: readonly OsvRecord[], options: OsvOptions = {}): Promise<FakeOsv> {
  const asked: { path: string; body: unknown }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/');
      const text = Buffer.concat(chunks).toString('utf8');
      const body = text === '' ? undefined : (JSON.parse(text) as unknown);
      asked.push({ path, body });
      const fault = options.fault?.(path);
      if (fault === 'stall') return;
      if (fault) {
        response.writeHead(fault.status, { 'content-type': 'application/json' });
        response.end(fault.text);
        return;
      }
      const send = (value: unknown, status = 200) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(value));
      };
      if (path === '/v1/querybatch') return send({ results: (body as { queries: Query[] }).queries.map(answer) });
      const id = /^\/v1\/vulns\/(.+)$/.exec(path)?.[1];
      const record = records.find((one) => one.id === id);
      if (id !== undefined) return record ? send(record) : send({ code: 5, message: 'Bug not found.' }, 404);
      const ecosystem = /^\/([^/]+)\/all\.zip$/.exec(path)?.[1];
      if (ecosystem !== undefined) {
        response.writeHead(200, { 'content-type': 'application/zip' });
        response.end(
          osvExport(records.filter((one) => ecosystems(one).some((name) => name.split(':')[0] === ecosystem))),
        );
        return;
      }
      send({ code: 5, message: 'Not found' }, 404);
    });
  });

  function answer(query: Query): object {
    const found = records.filter((record) =>
      affectedOf(record).some(
        ({ package: one }) =>
          one !== undefined &&
          normal(one.name, one.ecosystem) === normal(query.package.name, one.ecosystem) &&
          one.ecosystem === query.package.ecosystem,
      ),
    );
    const from = Number(query.page_token ?? 0);
    const size = options.page ?? Number.POSITIVE_INFINITY;
    const vulns = found.slice(from, from + size).map(({ id, modified }) => ({ id, modified }));
    if (vulns.length === 0) return {};
    return { vulns, ...(from + size < found.length ? { next_page_token: String(from + size) } : {}) };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

type Affected = { readonly package?: { readonly name: string; readonly ecosystem: string } };

function affectedOf(record: OsvRecord): readonly Affected[] {
  return (record.affected ?? []) as readonly Affected[];
}

function ecosystems(record: OsvRecord): readonly string[] {
  return affectedOf(record).map(({ package: one }) => one?.ecosystem ?? '');
}

/** A record with one affected package and one range. */
export function flaw(
  id: string,
  ecosystem: string,
  name: string,
  events: readonly Readonly<Record<string, string>>[],
  more: Readonly<Record<string, unknown>> = {},
): OsvRecord {
  const { versions, ...rest } = more;
  return {
    schema_version: '1.7.3',
    id,
    modified: '2026-10-30T00:00:00Z',
    published: '2026-01-01T00:00:00Z',
    summary: `${id} in ${name}`,
    affected: [
      {
        package: { ecosystem, name },
        ...(events.length > 0 ? { ranges: [{ type: ecosystem === 'npm' ? 'SEMVER' : 'ECOSYSTEM', events }] } : {}),
        ...(versions === undefined ? {} : { versions }),
      },
    ],
    ...rest,
  };
}

/** OSV looks PyPI names up as the index does. */
function normal(name: string, ecosystem: string): string {
  return ecosystem === 'PyPI' ? name.toLowerCase().replace(/[-_.]+/g, '-') : name;
}
