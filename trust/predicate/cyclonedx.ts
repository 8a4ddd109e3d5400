import { createHash } from 'node:crypto';
import { type Digest, hexOf } from '../../digest/index.ts';
import { digestOf, distinct, type Material, type Materials, nameOf, purlOf } from './materials.ts';

/** CycloneDX 1.6 of one platform's image: https://cyclonedx.org/docs/1.6/json/ . The same materials give the same bytes. */
export function cyclonedx(materials: Materials, image: Digest): object {
  const files = distinct(materials.files).filter(({ layer }) => layer !== 'tool');
  const known = new Set(files.map(nameOf));
  const root = `pkg:oci/${encodeURIComponent(materials.name)}@sha256%3A${hexOf(image)}`;
  const top = files.filter(({ layer }) => layer !== 'dependencies').map(nameOf);
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(image)}`,
    version: 1,
    metadata: {
      timestamp: materials.created,
      tools: { components: [{ type: 'application', name: 'mcp-build', version: materials.builder }] },
      component: {
        type: 'container',
        'bom-ref': root,
        name: materials.name,
        version: materials.source.version,
        purl: root,
        hashes: [{ alg: 'SHA-256', content: hexOf(image) }],
      },
    },
    components: files.map(component),
    dependencies: [
      { ref: root, dependsOn: top },
      ...files.map((file) => ({
        ref: nameOf(file),
        dependsOn: [...new Set(file.needs ?? [])].filter((need) => known.has(need)).sort(),
      })),
    ],
  };
}

function component(material: Material): object {
  const { algorithm, hex } = digestOf(material);
  const slash = material.kind === 'npm' ? material.name.indexOf('/') : -1;
  return {
    type: material.kind === 'image' ? 'container' : 'library',
    'bom-ref': nameOf(material),
    ...(slash > 0 ? { group: material.name.slice(0, slash) } : {}),
    name: material.name.slice(slash + 1),
    ...(material.version ? { version: material.version } : {}),
    hashes: [{ alg: algorithm === 'sha512' ? 'SHA-512' : 'SHA-256', content: hex }],
    ...(material.license ? { licenses: [license(material.license)] } : {}),
    purl: purlOf(material),
    properties: [
      { name: 'mcp-build:file', value: material.file },
      { name: 'mcp-build:layer', value: material.layer },
    ],
  };
}

/** What packages write into their license field is an SPDX expression, or prose ("SEE LICENSE IN …"), which the schema wants named as such. */
const EXPRESSION = /^\(*[A-Za-z0-9.+-]+\)*(?: (?:AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*$/;

export function isSpdxExpression(text: string): boolean {
  return EXPRESSION.test(text) && !/^(UNLICENSED|UNKNOWN)$/i.test(text);
}

function license(text: string): object {
  return isSpdxExpression(text) ? { expression: text } : { license: { name: text.slice(0, 500) } };
}

/** RFC 9562 version 8 from the image's digest: a random one would make every SBOM differ. */
export function uuidOf(image: Digest): string {
  const bytes = createHash('sha256').update(`sbom ${image}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
