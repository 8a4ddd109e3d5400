import { McpBuildError } from '../../errors/index.ts';
import type { Package, PackageIndex } from './packages.ts';
import { parseRelations, type Relation } from './relation.ts';
import { satisfies } from './version.ts';

/** What counts as installed. Without a version any will do: that is how a recipe leaves a dependency out on purpose. */
export interface Installed {
  readonly name: string;
  readonly version?: string;
  /** As in the control file. */
  readonly provides?: string;
}

/**
 * The packages that must be added to `already` so that `roots` and all they depend on are there, in byte order of names.
 * Alternatives are taken as they stand: one that is satisfied, else the first that the index can satisfy.
 * @param omits whether a package does without one of its dependencies
 * @throws McpBuildError `package-not-in-suite`, `dependency-unmet`, `package-conflict`, `relation-invalid`
 */
export function closure(
  roots: readonly string[],
  index: PackageIndex,
  already: readonly Installed[] = [],
  omits: (owner: string, dependency: string) => boolean = () => false,
): readonly Package[] {
  const chosen = new Map<string, Package>();
  const present = new Presence(already);
  const queue: Package[] = [];
  const choose = (found: Package) => {
    if (chosen.has(found.name)) return;
    chosen.set(found.name, found);
    present.add(found);
    queue.push(found);
  };
  for (const root of roots) {
    if (present.meets({ name: root, constraint: undefined })) continue;
    const found = index.packages.get(root);
    if (!found) throw notInSuite(root);
    choose(found);
  }
  for (let owner = queue.shift(); owner; owner = queue.shift()) {
    for (const group of parseRelations(`${owner.preDepends},${owner.depends}`, owner.name)) {
      if (group.some((relation) => present.meets(relation) || omits(owner.name, relation.name))) continue;
      const found = firstOf(group, index);
      if (!found) throw unmet(owner, group);
      // The index's only version of a package that is already there in another one: taking both would overwrite files.
      if (present.names.has(found.name)) throw unmet(owner, group);
      choose(found);
    }
  }
  const packages = [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  refuseConflicts(packages, present);
  return packages;
}

class Presence {
  readonly names = new Map<string, string | undefined>();
  /** Virtual package → who provides it, in which version. */
  private readonly virtual = new Map<string, { by: string; version: string | undefined }[]>();

  constructor(installed: Iterable<Installed>) {
    for (const one of installed) this.add(one);
  }

  add({ name, version, provides }: Installed): void {
    this.names.set(name, version);
    for (const provided of parseRelations(provides ?? '', name).flat()) {
      const known = this.virtual.get(provided.name) ?? [];
      known.push({ by: name, version: provided.constraint?.version });
      this.virtual.set(provided.name, known);
    }
  }

  meets(relation: Relation, except?: string): boolean {
    if (relation.name !== except && this.names.has(relation.name)) {
      const version = this.names.get(relation.name);
      if (version === undefined || matches(version, relation)) return true;
    }
    const providers = this.virtual.get(relation.name) ?? [];
    return providers.some(({ by, version }) => by !== except && providesMatch(version, relation));
  }
}

function firstOf(group: readonly Relation[], index: PackageIndex): Package | undefined {
  for (const relation of group) {
    const real = index.packages.get(relation.name);
    if (real && matches(real.version, relation)) return real;
    for (const provider of index.providers.get(relation.name) ?? []) {
      const provided = parseRelations(provider.provides, provider.name).flat();
      if (provided.some((one) => one.name === relation.name && providesMatch(one.constraint?.version, relation))) {
        return provider;
      }
    }
  }
  return undefined;
}

function matches(version: string, { constraint }: Relation): boolean {
  return !constraint || satisfies(version, constraint.operator, constraint.version);
}

/** An unversioned `Provides` satisfies no versioned relation (Debian policy 7.5). */
function providesMatch(version: string | undefined, relation: Relation): boolean {
  return relation.constraint === undefined || (version !== undefined && matches(version, relation));
}

function refuseConflicts(packages: readonly Package[], present: Presence): void {
  for (const { name, conflicts, breaks } of packages) {
    for (const relation of parseRelations(`${conflicts},${breaks}`, name).flat()) {
      // What was left out on purpose isn't there to conflict with.
      if (present.names.has(relation.name) && present.names.get(relation.name) === undefined) continue;
      if (!present.meets(relation, name)) continue;
      throw new McpBuildError({
        code: 'package-conflict',
        message: `Package ${name} can't be beside ${relation.name}, which is chosen too`,
        input: name,
        fix: `Leave out one of ${name} and ${relation.name}.`,
      });
    }
  }
}

function notInSuite(name: string): McpBuildError {
  return new McpBuildError({
    code: 'package-not-in-suite',
    message: `No suite of the recipe has a package ${name}`,
    input: name,
    fix: 'Check its name, and that its architecture has it.',
  });
}

function unmet(owner: Package, group: readonly Relation[]): McpBuildError {
  const wanted = group
    .map(({ name, constraint }) => (constraint ? `${name} (${constraint.operator} ${constraint.version})` : name))
    .join(' | ');
  return new McpBuildError({
    code: 'dependency-unmet',
    message: `Package ${owner.name} ${owner.version} needs ${wanted}, which can't be had`,
    input: owner.name,
    fix: 'Update the base with `mcp-build base update`; if that is new, the mirror may be half-way through its own update: try later.',
  });
}
