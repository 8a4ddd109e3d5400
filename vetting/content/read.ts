import { tmpdir } from 'node:os';
import { type Member, readTarGz, readZip, spool } from '../../builders/archive/index.ts';
import { type NpmArtifact, normalizeProject, type Open, type WheelArtifact } from '../../builders/index.ts';
import { claimedServerName, describeMetadata, parseMetadata } from '../../builders/pypi/index.ts';
import { type Contents, READER } from './contents.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { Scan } from './scan.ts';

/** In bytes: package.json and METADATA, READMEs included. */
const MANIFEST_LIMIT = 16 * 1024 * 1024;

/**
 * Reads a package's archive through once, as a stream, and runs nothing of it. Its size, its number of files and what it unpacks to have the
 * archive readers' limits.
 * @throws McpBuildError `archive-unsafe`, `archive-invalid`, and what `open` throws
 */
export async function readContents(artifact: NpmArtifact | WheelArtifact, open: Open): Promise<Contents> {
  if (artifact.kind === 'npm') return readTarball(artifact, open);
  return readWheel(artifact, open);
}

async function readTarball(artifact: NpmArtifact, open: Open): Promise<Contents> {
  const scan = new Scan();
  const counted = { files: 0, bytes: 0 };
  let manifest: Manifest | undefined;
  const options = { name: `${artifact.name}@${artifact.version}`, repeats: 'given' } as const;
  for await (const member of readTarGz(open(artifact), options)) {
    if (member.type !== 'file') continue;
    const path = member.path.slice(member.path.indexOf('/') + 1);
    counted.files += 1;
    counted.bytes += member.size;
    if (path === 'package.json' && !manifest && member.size <= MANIFEST_LIMIT) {
      const text = await bytesOf(member);
      manifest = readManifest(text);
      await scan.file(path, text);
    } else if (path === 'binding.gyp' && manifest && !manifest.scripts.install) {
      // npm runs node-gyp for it where the package names no other install script.
      manifest = { ...manifest, scripts: { ...manifest.scripts, install: 'node-gyp rebuild' } };
      await scan.file(path, member.content);
    } else await scan.file(path, member.content);
  }
  return {
    reader: READER,
    ...counted,
    requires: [],
    hooks: [],
    exotic: [],
    scripts: {},
    ...manifest,
    ...scan.result(),
  };
}

async function readWheel(artifact: WheelArtifact, open: Open): Promise<Contents> {
  const source = await spool(open(artifact), { name: artifact.file, folder: tmpdir() });
  try {
    const scan = new Scan();
    const counted = { files: 0, bytes: 0 };
    const hooks: { path: string; lines: string[] }[] = [];
    let manifest: Partial<Contents> = {};
    for await (const member of readZip(source, { name: artifact.file })) {
      if (member.type !== 'file') continue;
      const { path } = member;
      counted.files += 1;
      counted.bytes += member.size;
      const hook = hookOf(path);
      if (hook || (/^[^/]+\.dist-info\/METADATA$/.test(path) && member.size <= MANIFEST_LIMIT)) {
        const bytes = await bytesOf(member);
        await scan.file(path, bytes);
        if (hook) hooks.push({ path, lines: hook === 'module' ? [] : pthLines(bytes) });
        else manifest = readMetadata(bytes.toString('utf8'));
      } else await scan.file(path, member.content);
    }
    return { reader: READER, ...counted, requires: [], hooks, exotic: [], scripts: {}, ...manifest, ...scan.result() };
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

/** A `.pth` at the top, or what Python imports by itself when it is there (site.py). */
function hookOf(path: string): 'pth' | 'module' | undefined {
  const top = path.replace(/^[^/]+\.data\/(?:purelib|platlib)\//, '');
  if (/^[^/]+\.pth$/.test(top)) return 'pth';
  return /^(?:site|user)customize(?:\.py|\.pyc|\.[^/]*\.so|\.so|\/__init__\.pyc?)$/.test(top) ? 'module' : undefined;
}

/** site.py runs exactly the lines that begin with `import` and a space or tab. */
function pthLines(bytes: Buffer): string[] {
  return bytes
    .toString('utf8')
    .split(/\r\n|\r|\n/)
    .filter((line) => /^import[ \t]/.test(line))
    .slice(0, 50)
    .map((line) => line.slice(0, 1000));
}

function readMetadata(text: string): Partial<Contents> {
  const { name, version, description } = parseMetadata(text);
  const { license, requires } = describeMetadata(text);
  const serverName = claimedServerName(description);
  const exotic = [
    ...text
      .slice(0, text.search(/\r?\n\r?\n/) + 1 || undefined)
      .matchAll(/^Requires-Dist:\s*([A-Za-z0-9._-]+)[^\n;@]*@\s*([^\s;]+)/gim),
  ];
  return {
    name: normalizeProject(name),
    version,
    requires: [...requires],
    exotic: exotic.slice(0, 50).map(([, project = '', spec = '']) => ({ name: project, spec })),
    ...(license === undefined ? {} : { license }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

async function bytesOf(member: Extract<Member, { type: 'file' }>): Promise<Buffer> {
  if (member.content instanceof Uint8Array) return Buffer.from(Uint8Array.from(member.content));
  const chunks: Buffer[] = [];
  for await (const chunk of member.content) chunks.push(Buffer.from(Uint8Array.from(chunk)));
  return Buffer.concat(chunks);
}
