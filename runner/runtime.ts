import type { Writable } from 'node:stream';
import type { Digest } from '../digest/index.ts';
import type { Store } from '../registry/index.ts';
import type { Daemon, DaemonFacts, Difference, Inspect } from './compare.ts';
import type { Endpoint } from './endpoint.ts';
import type { Piece } from './frames.ts';
import type { RunImage } from './image.ts';
import type { ContainerSpec } from './spec.ts';

/** What `list` knows of a container. */
export interface Listed {
  readonly id: string;
  readonly name: string;
  /** `created`, `running`, `exited`, … */
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Seconds since the epoch. */
  readonly created: number;
}

export interface Exit {
  readonly code: number;
  /** Why the daemon could not run it to its end, where it says so. */
  readonly error?: string;
}

/** A container's three streams. Ending `input` is the end of its stdin, and leaves its output open. */
export interface Attached {
  readonly input: Writable;
  /** Until it has stopped. A piece's bytes are the reader's only until it asks for the next. */
  readonly output: AsyncIterable<Piece>;
  destroy(): void;
}

export interface Usage {
  /** Bytes in use, and the limit. */
  readonly memory: number;
  readonly memoryLimit: number;
  /** Nanoseconds of processor time since the start. */
  readonly cpu: number;
  readonly pids: number;
  /** Bytes read from and written to disks since the start; undefined where the daemon doesn't count them. */
  readonly disk?: Transfer;
  /** Bytes received and sent by its own interfaces; undefined where it has none. */
  readonly net?: Transfer;
}

export interface Transfer {
  readonly in: number;
  readonly out: number;
}

/** A container engine, as far as a run needs one. Containers are named by the name that was given at `create`, or by id. */
export interface Runtime {
  readonly endpoint: Endpoint;
  /** @throws McpBuildError `docker-unavailable` */
  facts(): Promise<DaemonFacts>;
  /** @throws McpBuildError `docker-unavailable` */
  daemon(): Promise<Daemon>;
  /**
   * Gives the engine an image, with only the layers it lacks, and says what it calls it.
   * @throws McpBuildError `image-mismatch` when what it then has is not this image, `docker-failed`
   */
  load(store: Store, image: RunImage, tag: string, signal?: AbortSignal): Promise<Digest>;
  create(name: string, spec: ContainerSpec): Promise<string>;
  /** @throws McpBuildError `container-missing` */
  inspect(name: string): Promise<Inspect>;
  /** How what the engine made of a container differs from what it was asked for. Before `start`; empty where nothing does. */
  differences(
    name: string,
    spec: ContainerSpec,
    image: Pick<RunImage, 'env' | 'entrypoint' | 'labels'>,
    facts: DaemonFacts,
  ): Promise<readonly Difference[]>;
  /** Its streams. Before `start`, or output is lost. */
  attach(name: string): Promise<Attached>;
  /** Resolves once the engine listens for the container's next end, so that `start` can't be faster; `exit` settles with that end. */
  wait(name: string, signal: AbortSignal): Promise<{ readonly exit: Promise<Exit> }>;
  /** @throws McpBuildError `start-failed` */
  start(name: string): Promise<void>;
  /** A container that isn't running, or is gone, is no error. */
  kill(name: string, signal: NodeJS.Signals): Promise<void>;
  /** Stops and removes it with its anonymous volumes. One that is gone is no error. */
  remove(name: string): Promise<void>;
  /** Containers that carry every one of these labels, running or not. */
  list(labels: Readonly<Record<string, string>>): Promise<readonly Listed[]>;
  usage(name: string): Promise<Usage>;
  /** A bridge on which containers don't see each other; made where it isn't there. @returns its name */
  openNetwork(): Promise<string>;
}
