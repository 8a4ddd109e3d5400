import type { RunImage } from '../../../runner/index.ts';
import type { ServerPredicate } from '../../../trust/index.ts';

/** A Kubernetes object, as it is written. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** Pods by their labels, in a namespace by its name. */
export interface Pods {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What is the same for every server of one cluster. */
export interface Cluster {
  readonly namespace: string;
  /** Who may reach servers. */
  readonly gateway: Pods;
  /** What leads out, where servers may reach single destinations: its address, which needs no name to be looked up, and its pods. */
  readonly egress?: { readonly url: URL; readonly pods: Pods };
  readonly pullSecret?: string;
  readonly limits: { readonly memory: number; readonly cpus: number; readonly tmp: number; readonly home: number };
  /** Most pods of a server that any number of can run. */
  readonly replicas: number;
}

/** One published server whose signed statement a policy has accepted. */
export interface Deployable {
  /** Of its objects: a DNS label. */
  readonly name: string;
  /** In the manifest. */
  readonly server: string;
  /** Registry, repository and digest; never a tag. */
  readonly image: string;
  readonly signed: ServerPredicate;
  /** What nodes it can run on. */
  readonly architectures: readonly string[];
  readonly built: Pick<RunImage, 'env' | 'cmd' | 'volumes'>;
  /** Whether any pod can answer any request. */
  readonly stateless: boolean;
  /** Volume claims by the path they are mounted at. */
  readonly claims: ReadonlyMap<string, string>;
}

export interface Manifests {
  readonly objects: readonly KubernetesObject[];
  /** What the runner's walls have and a pod can't be given: what it is, and what to do about it. */
  readonly cannot: readonly { readonly wall: string; readonly why: string }[];
}
