// npm's own libraries that come without types; only what is used here.

declare module '@npmcli/config' {
  interface ConfigOptions {
    readonly definitions: unknown;
    readonly shorthands: unknown;
    readonly flatten: unknown;
    readonly nerfDarts: readonly string[];
    readonly npmPath: string;
    readonly env: Record<string, string>;
    readonly argv: readonly string[];
    readonly execPath: string;
    readonly cwd: string;
    readonly warn: boolean;
  }
  export default class Config {
    constructor(options: ConfigOptions);
    load(): Promise<void>;
    /** Throws where a file holds credentials in a form npm no longer takes. */
    validate(): boolean;
    readonly flat: Record<string, unknown>;
  }
}

declare module '@npmcli/config/lib/definitions/index.js' {
  const definitions: {
    readonly definitions: unknown;
    readonly shorthands: unknown;
    readonly flatten: unknown;
    readonly nerfDarts: readonly string[];
  };
  export default definitions;
}

declare module '@npmcli/agent' {
  import type { AgentOptions, Agent as HttpsAgent } from 'node:https';

  interface Options extends AgentOptions {
    readonly proxy?: string | undefined;
    readonly noProxy?: string | readonly string[] | undefined;
    readonly timeouts?: { readonly connection?: number; readonly idle?: number };
  }
  const agent: {
    /** Serves both `http:` and `https:`, through the proxy or not. */
    readonly Agent: new (
      options: Options,
    ) => HttpsAgent;
    getAgent(url: string, options: Options): HttpsAgent;
  };
  export default agent;
}

declare module '@npmcli/arborist' {
  interface ArboristNode {
    /** Name of its folder; differs from `packageName` for an alias. */
    readonly name: string;
    readonly packageName: string | null;
    readonly version: string;
    readonly location: string;
    readonly path: string;
    readonly integrity: string | null;
    readonly resolved: string | null;
    readonly package: Readonly<Record<string, unknown>>;
    readonly isRoot: boolean;
    readonly isLink: boolean;
    readonly inBundle: boolean;
    readonly inert: boolean;
    readonly optional: boolean;
    readonly extraneous: boolean;
    readonly hasInstallScript: boolean;
    readonly edgesOut: ReadonlyMap<string, ArboristEdge>;
    readonly edgesIn: ReadonlySet<ArboristEdge>;
    readonly inventory: ReadonlyMap<string, ArboristNode>;
    readonly meta?: { commit(): unknown; toString(): string };
  }
  interface ArboristEdge {
    readonly name: string;
    readonly spec: string;
    readonly type: string;
    readonly from: ArboristNode | null;
    readonly to: ArboristNode | null;
  }
  export default class Arborist {
    constructor(options: Readonly<Record<string, unknown>>);
    buildIdealTree(options?: Readonly<Record<string, unknown>>): Promise<ArboristNode>;
    idealTree: ArboristNode | null;
  }
  export type { ArboristEdge, ArboristNode };
}
