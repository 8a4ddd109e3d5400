/**
 * One file of a layer, in the order in which it is written. Paths are relative to the image's root, with `/`,
 * without a leading or trailing slash and without `.` or `..` segments. `uid` and `gid` default to 0; `mode` to 0644, 0755 for
 * directories. There is no time: every file has the same one.
 */
export type Entry = FileEntry | DirectoryEntry | SymlinkEntry | HardlinkEntry;

export interface FileEntry {
  readonly type: 'file';
  readonly path: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** In bytes. `content` gives exactly so many, or the layer fails. */
  readonly size: number;
  /** Must be consumed before the next entry is asked for; the bytes are the writer's only until then. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

export interface DirectoryEntry {
  readonly type: 'directory';
  readonly path: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface SymlinkEntry {
  readonly type: 'symlink';
  readonly path: string;
  /** Relative to the link's folder, or absolute within the image; never leads out of it. */
  readonly target: string;
}

/** A second name for a file; system packages have them. Mode and owner are the file's. */
export interface HardlinkEntry {
  readonly type: 'hardlink';
  readonly path: string;
  /** Path in the image of a file that is an earlier entry of the same layer. */
  readonly target: string;
}
