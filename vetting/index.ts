export type { Advisories } from './advisories/advisories.ts';
export { type AskApi, onlineAdvisories } from './advisories/api.ts';
export type { AdvisoryEcosystem, Match } from './advisories/record.ts';
export {
  EXPORTS,
  type Export,
  type ExportMeta,
  importExport,
  listExports,
  storedAdvisories,
} from './advisories/store.ts';
export { applyVex, formatVex, parseVex, purlOfSubject, type Vex } from './advisories/vex.ts';
export { type AuditInput, audit } from './audit.ts';
export { type Contents, contentsSchema, READER } from './content/contents.ts';
export { readContents } from './content/read.ts';
export { FINDINGS, type Finding, type FindingCode, finding, printed, sorted } from './finding.ts';
export { type Decision, decide } from './gate.ts';
export { npmAttested, wheelAttested } from './origin/attestation.ts';
export type { Listing } from './origin/listing.ts';
export { type Origin, type Provenance, plainRepository, sameRepository } from './origin/provenance.ts';
export { registrySignature } from './origin/signature.ts';
export {
  type Called,
  describe as describePermissions,
  type Needed,
  neededBy,
  type Review,
  reviewPermissions,
  type Used,
} from './permissions.ts';
export { type Gathered, gathered } from './report/gathered.ts';
export { html } from './report/html.ts';
export { markdown } from './report/markdown.ts';
export { type Report, unreadLine, unreadOf } from './report/report.ts';
export { sarif } from './report/sarif.ts';
export { type Examinations, examineTools, type ToolItem, type ToolList } from './tools/check.ts';
export { examinationSchema, examinerName } from './tools/poisoning.ts';
export { checkTogether } from './tools/shadowing.ts';
export { fileKey, nameOf, type Package, packagesOf, pathsOf, refOf } from './tree.ts';
