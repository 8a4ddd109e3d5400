interface Named {
  /** Relative to the archive's root: no leading or trailing slash, no empty, `.` or `..` segments. */
  readonly path: string;
  /** The permission bits as the archive has them, 0 to 0o7777. */
  readonly mode: number;
}

export interface FileMember extends Named {
  readonly type: 'file';
  /** In bytes; `content` gives exactly so many. */
  readonly size: number;
  /**
   * Whole where it is small or already in memory, else a stream, to be read before the next member is asked for; what isn't consumed by
   * then is skipped. The bytes are views of a larger buffer that is never written to again: keeping one keeps that.
   */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** A member of this path was given before; only where the reader was asked for such. */
  readonly repeated?: true;
}

export interface DirectoryMember extends Named {
  readonly type: 'directory';
}

export interface SymlinkMember extends Named {
  readonly type: 'symlink';
  /** As the archive has it; lexically it stays within the archive. */
  readonly target: string;
}

export interface HardlinkMember extends Named {
  readonly type: 'hardlink';
  /** Path of a file that was an earlier member of the same archive. */
  readonly target: string;
}

/** One member of an archive. Paths are unique (but for `repeated` ones), and nothing lies below a file or a link. */
export type Member = FileMember | DirectoryMember | SymlinkMember | HardlinkMember;
