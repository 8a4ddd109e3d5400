/** Why this run doesn't build on the committed base locks, or undefined where it does: for tests that know their digests. */
export function replacedBases(): string | undefined {
  return process.env.MCP_BUILD_TEST_BASES;
}
