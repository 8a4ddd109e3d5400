import { type Digest, isDigest } from '../digest/index.ts';
import { McpBuildError } from '../errors/index.ts';

/** `registry[:port]/repository[:tag][@digest]`. */
export interface RemoteReference {
  readonly kind: 'remote';
  /** Host, lower case, with its port where it was written; IPv6 in brackets. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `oci:FOLDER[:tag][@digest]`, as skopeo writes it. */
export interface LayoutReference {
  readonly kind: 'layout';
  readonly folder: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `name[:version][@digest]`: an image of the local store, by the name of its server. */
export interface LocalReference {
  readonly kind: 'local';
  readonly name: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

export type Reference = RemoteReference | LayoutReference | LocalReference;

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
// image-spec annotations.md, `ref.name`, without the `@` that would read as the start of a digest.
const LAYOUT_TAG = /^[A-Za-z0-9]+(?:(?:[-._:+]|--)[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:[-._:+]|--)[A-Za-z0-9]+)*)*$/;
const HOST =
  /^(?:\[[0-9a-f:]+\]|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)(?::([0-9]{1,5}))?$/;

/**
 * Reads any of the three forms. A registry is never filled in: what is not `host/…` or `oci:…` is a name in the local store.
 * @throws McpBuildError `reference-invalid`
 */
export function parseReference(text: string): Reference {
  if (text.length > 4096 || hasControl(text))
    throw invalid(text.slice(0, 200), 'is too long or holds control characters');
  if (text.startsWith('oci:')) return parseLayout(text);
  if (text.includes('/')) return parseRemote(text);
  return parseLocal(text);
}

/** @throws McpBuildError `reference-invalid` when it is not `registry/repository…` */
export function parseRemoteReference(text: string): RemoteReference {
  const reference = parseReference(text);
  if (reference.kind === 'remote') return reference;
  throw invalid(text, 'does not name a registry', 'Write registry.example/repository, with the registry in front.');
}

export function formatReference(reference: Reference): string {
  const tail = `${reference.tag ? `:${reference.tag}` : ''}${reference.digest ? `@${reference.digest}` : ''}`;
  if (reference.kind === 'remote') return `${reference.registry}/${reference.repository}${tail}`;
  if (reference.kind === 'layout') return `oci:${reference.folder}${tail}`;
  return `${reference.name}${tail}`;
}

/** What to ask the reference's store for: the digest where there is one, since it can't move. Undefined when it names neither. */
export function targetOf(reference: Reference): string | undefined {
  if (reference.digest) return reference.digest;
  if (reference.kind === 'local') return reference.tag ? `${reference.name}:${reference.tag}` : reference.name;
  return reference.tag;
}

/** Whether `tag` can stand in a layout's index as it is. */
export function isLayoutTag(tag: string): boolean {
  return tag.length <= 255 && LAYOUT_TAG.test(tag);
}

/** Whether `tag` can be a tag in a registry. */
export function isRegistryTag(tag: string): boolean {
  return TAG.test(tag);
}

/** @returns the error of a tag that its store can't take */
export function tagInvalid(tag: string): McpBuildError {
  return invalid(tag, 'is not a tag', 'Use letters, digits and single . _ - between them.');
}

function parseRemote(text: string): RemoteReference {
  if (/^(?:\.{0,2}|~)\//.test(text))
    throw invalid(text, 'is a path', 'Write oci-archive:FILE for one file, or oci:FOLDER for an OCI image layout.');
  const { rest, digest } = splitDigest(text);
  const slash = rest.indexOf('/');
  const registry = rest.slice(0, slash).toLowerCase();
  const path = rest.slice(slash + 1);
  if (!registry.includes('.') && !registry.includes(':') && registry !== 'localhost') {
    throw invalid(text, `"${registry}" is not a registry's host`, 'Write the registry in front; none is assumed.');
  }
  const port = HOST.exec(registry);
  if (!port || registry.length > 255 || (port[1] !== undefined && !(Number(port[1]) > 0 && Number(port[1]) < 65_536))) {
    throw invalid(text, `"${registry}" is not a registry's host`);
  }
  const colon = path.lastIndexOf(':');
  const repository = colon < 0 ? path : path.slice(0, colon);
  if (!REPOSITORY.test(repository) || repository.length > 255) {
    throw invalid(text, `"${repository}" is not the name of a repository`);
  }
  const tag = colon < 0 ? undefined : path.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `"${tag}" is not a tag`);
  return { kind: 'remote', registry, repository, ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) };
}

function parseLayout(text: string): LayoutReference {
  const { rest, digest } = splitDigest(text.slice('oci:'.length), text);
  // A Windows drive is no tag.
  const colon = rest.indexOf(':', /^[A-Za-z]:[\\/]/.test(rest) ? 2 : 0);
  const folder = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (folder === '') throw invalid(text, 'names no folder');
  if (tag !== undefined && !isLayoutTag(tag)) throw invalid(text, `"${tag}" is not a tag`);
  return { kind: 'layout', folder, ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) };
}

function parseLocal(text: string): LocalReference {
  const { rest, digest } = splitDigest(text);
  const colon = rest.indexOf(':');
  const name = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (colon >= 0 && (name === 'npm' || name === 'pypi')) throw invalid(text, 'is a source, not an image');
  if (!NAME.test(name) || name.length > 100) throw invalid(text, `"${name}" is not the name of an image`);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `"${tag}" is not a version`);
  return { kind: 'local', name, ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) };
}

function splitDigest(text: string, input = text): { rest: string; digest: Digest | undefined } {
  // What looks like a digest must be one: read as part of a folder or a tag it would silently unpin the image.
  const match = /^(.*)@([A-Za-z0-9_+.-]+:[^/@]*)$/s.exec(text);
  if (!match) return { rest: text, digest: undefined };
  const digest = match[2] ?? '';
  if (!isDigest(digest)) throw invalid(input, `"${digest}" is not a SHA-256 digest`);
  return { rest: match[1] ?? '', digest };
}

function hasControl(text: string): boolean {
  return [...text].some((character) => character < ' ' || character === '\u007f');
}

function invalid(input: string, reason: string, fix?: string): McpBuildError {
  return new McpBuildError({
    code: 'reference-invalid',
    message: `Reference "${input}": ${reason}`,
    input,
    fix:
      fix ??
      'Write registry.example/repository[:tag][@sha256:…], oci:FOLDER[:tag][@sha256:…] or a name[:version] of the local store.',
    exit: 2,
  });
}
