import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';

/**
 * The predicate of our own: which server an image is, and what it may do and offers. Its form is described in docs/provenance.md; a
 * reader ignores fields it doesn't know, so that newer writers may add some.
 */
const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a sha256 digest');
const text = z.string().min(1).max(4096);
const instant = z.iso.datetime({ offset: true });
const offered = z.object({
  /** SHA-256 of the canonical JSON of the list. */
  digest,
  items: z
    .array(z.object({ name: text, digest }))
    .max(10_000)
    .readonly(),
});

export const permissionsSchema = z.object({
  network: z.union([z.enum(['none', 'all']), z.array(text).min(1).max(200).readonly()]),
  volumes: z
    .array(z.object({ path: text, mode: z.enum(['ro', 'rw']) }))
    .max(50)
    .readonly(),
  environment: z.array(text).max(200).readonly(),
});

export const serverSchema = z.object({
  source: z.object({ ecosystem: z.enum(['npm', 'pypi']), name: text, version: text }),
  /** As the MCP Registry names it: `io.github.owner/server`. */
  name: text.optional(),
  /** Creation time of the image: orders two builds of one version. */
  created: instant,
  /** When the index received the newest file of the image; absent where it doesn't say. */
  newest: instant.optional(),
  /**
   * When it was said in place of an older statement about the same image, which was something else. Of several by those whose word counts, the
   * newest is meant; the first one has no time, so that saying the same again gives the same bytes.
   */
  issued: instant.optional(),
  /** Digest of the lock's inputs. */
  lock: digest,
  permissions: permissionsSchema,
  /** Arguments it is started with when the user gives none. */
  args: z.array(z.string().max(4096)).max(200).readonly(),
  environment: z
    .array(
      z.object({
        name: text,
        description: z.string().max(4096).optional(),
        required: z.boolean(),
        secret: z.boolean(),
        default: z.string().max(4096).optional(),
      }),
    )
    .max(200)
    .readonly(),
  tools: offered.optional(),
  prompts: offered.optional(),
  resources: offered.optional(),
  resourceTemplates: offered.optional(),
  /** SHA-256 of the instructions' UTF-8. */
  instructions: digest.optional(),
});

export type ServerPredicate = z.infer<typeof serverSchema>;
export type Permissions = z.infer<typeof permissionsSchema>;

/** The predicate of a statement that was read; undefined when it isn't of this form. */
export function readServer(predicate: unknown): ServerPredicate | undefined {
  return serverSchema.safeParse(predicate).data;
}
