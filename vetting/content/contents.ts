import { z } from 'zod';

/** Increased whenever the same bytes are read differently: results that were kept are then made anew. */
export const READER = 4;

const place = z.object({ path: z.string(), line: z.int().optional(), what: z.string() });

/**
 * What one archive was seen to hold, read and never run. Lists are bounded and sorted; text from the archive is as it stands there, and
 * must be passed through `printed` before anybody sees it.
 */
export const contentsSchema = z.object({
  reader: z.literal(READER),
  files: z.int(),
  /** Unpacked, in bytes. */
  bytes: z.int(),
  /** What its manifest says it is; undefined where it has none. */
  name: z.string().optional(),
  version: z.string().optional(),
  license: z.string().optional(),
  repository: z.string().optional(),
  /** The name in the MCP Registry that it claims. */
  serverName: z.string().optional(),
  /** Normalised projects that a wheel requires on some platform, extras left out. */
  requires: z.array(z.string()),
  /** npm's install scripts by name, with the command. */
  scripts: z.record(z.string(), z.string()),
  /** What Python runs at every start. */
  hooks: z.array(z.object({ path: z.string(), lines: z.array(z.string()) })),
  /** Dependencies that are not taken from a registry, as its manifest writes them. */
  exotic: z.array(z.object({ name: z.string(), spec: z.string() })),
  native: z.array(z.string()),
  minified: z.array(z.string()),
  obfuscated: z.array(place),
  unicode: z.array(place),
  credentials: z.array(place),
  /** Code that is fetched and run. */
  downloads: z.array(place),
  /** Files with secrets that the code names. */
  secretFiles: z.array(place),
  hosts: z.array(z.string()),
  environment: z.array(z.string()),
  processes: z.array(place),
  dynamic: z.array(place),
  /** Why the reading stopped before the end; its findings are then not all there are. */
  stopped: z.string().optional(),
});

export type Contents = z.infer<typeof contentsSchema>;
export type Place = z.infer<typeof place>;
