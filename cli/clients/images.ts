/**
 * Images that hold one published package and nothing else of their own, by their name without registry, tag and digest. Their
 * entrypoint takes the same arguments as the package's command.
 */
const PACKAGES: Readonly<Record<string, string>> = {
  'mcp/everything': 'npm:@modelcontextprotocol/server-everything',
  'mcp/fetch': 'pypi:mcp-server-fetch',
  'mcp/filesystem': 'npm:@modelcontextprotocol/server-filesystem',
  'mcp/git': 'pypi:mcp-server-git',
  'mcp/memory': 'npm:@modelcontextprotocol/server-memory',
  'mcp/sequentialthinking': 'npm:@modelcontextprotocol/server-sequential-thinking',
  'mcp/time': 'pypi:mcp-server-time',
  'mcp/brave-search': 'npm:@brave/brave-search-mcp-server',
  'mcp/context7': 'npm:@upstash/context7-mcp',
  'mcp/notion': 'npm:@notionhq/notion-mcp-server',
  'mcp/playwright': 'npm:@playwright/mcp',
  'mcp/sqlite': 'pypi:mcp-server-sqlite',
  'mcp/tavily': 'npm:tavily-mcp',
};

/** The source of a known image, whatever its tag or digest. */
export function packageOf(image: string): string | undefined {
  const name = image.replace(/@sha256:[0-9a-f]+$/, '').replace(/:[^/:]+$/, '');
  const short = name.split('/').slice(-2).join('/');
  return Object.hasOwn(PACKAGES, short) ? PACKAGES[short] : undefined;
}
