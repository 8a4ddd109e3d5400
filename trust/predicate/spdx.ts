import { type Digest, hexOf } from '../../digest/index.ts';
import { isSpdxExpression, uuidOf } from './cyclonedx.ts';
import { digestOf, distinct, type Material, type Materials, nameOf, purlOf } from './materials.ts';

/** SPDX 2.3 of one platform's image: https://spdx.github.io/spdx-spec/v2.3/ . The same materials give the same bytes. */
export function spdx(materials: Materials, image: Digest): object {
  const files = distinct(materials.files).filter(({ layer }) => layer !== 'tool');
  const ids = new Map(files.map((file, at) => [nameOf(file), `SPDXRef-Package-${at}`]));
  const root = 'SPDXRef-Image';
  const purl = `pkg:oci/${encodeURIComponent(materials.name)}@sha256%3A${hexOf(image)}`;
  const relation = (from: string, relationshipType: string, to: string) => ({
    spdxElementId: from,
    relationshipType,
    relatedSpdxElement: to,
  });
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: materials.name,
    documentNamespace: `urn:uuid:${uuidOf(image)}`,
    creationInfo: {
      created: materials.created.replace(/\.\d+Z$/, 'Z'),
      creators: [`Tool: mcp-build-${materials.builder}`],
    },
    documentDescribes: [root],
    packages: [
      {
        ...described(root, materials.name, materials.source.version, 'NOASSERTION', purl),
        checksums: [{ algorithm: 'SHA256', checksumValue: hexOf(image) }],
        primaryPackagePurpose: 'CONTAINER',
      },
      ...files.map((file) => pack(file, ids.get(nameOf(file))!)),
    ],
    relationships: [
      relation('SPDXRef-DOCUMENT', 'DESCRIBES', root),
      ...files.map((file) => relation(root, 'CONTAINS', ids.get(nameOf(file))!)),
      ...files.flatMap((file) =>
        [...new Set(file.needs ?? [])]
          .sort()
          .map((need) => ids.get(need))
          .filter((to) => to !== undefined)
          .map((to) => relation(ids.get(nameOf(file))!, 'DEPENDS_ON', to)),
      ),
    ],
  };
}

function pack(material: Material, id: string): object {
  const { algorithm, hex } = digestOf(material);
  const declared = material.license && isSpdxExpression(material.license) ? material.license : 'NOASSERTION';
  return {
    ...described(id, material.name, material.version, declared, purlOf(material)),
    packageFileName: material.file,
    checksums: [{ algorithm: algorithm.toUpperCase(), checksumValue: hex }],
  };
}

function described(id: string, name: string, version: string, license: string, purl: string): object {
  return {
    SPDXID: id,
    name,
    ...(version ? { versionInfo: version } : {}),
    // Where it was fetched from is the builder's own configuration; the purl and the checksum say what it is.
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: license,
    copyrightText: 'NOASSERTION',
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}
