/**
 * Few regular expressions of many alternatives, run over each window of a file as Latin-1, where a search for each word alone would take several
 * times as long. No alternative can backtrack over more than a bounded stretch.
 */

const HOST = String.raw`["'\x60](?:https?|wss?|ftp):\/\/(?:[^"'\x60\s/@]{1,80}@)?(?<host>[A-Za-z0-9][A-Za-z0-9.-]{1,250})`;

// Formats that their issuers document, so that secret scanners (and these lines) can know them from any other text.
const CREDENTIAL = String.raw`(?<credential>(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])|gh[pousr]_[A-Za-z0-9]{36}(?![0-9A-Za-z])|github_pat_[A-Za-z0-9_]{82}|glpat-[A-Za-z0-9_-]{20}|npm_[A-Za-z0-9]{36}(?![0-9A-Za-z])|pypi-AgEI[A-Za-z0-9_-]{50,200}|xox[abpr]-[0-9]{8,14}-[A-Za-z0-9-]{20,100}|sk_live_[A-Za-z0-9]{24,99}|sk-ant-[A-Za-z0-9_-]{40,120}|AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-]))|(?<key>-----BEGIN (?:RSA |EC |DSA |OPENSSH )?PRIVATE KEY-----(?:\\n|\\r|[\r\n]){1,4}[A-Za-z0-9+/=]{40})`;

const SECRET_FILE = String.raw`(?<secretFile>\.ssh[\/\\]{1,2}(?:id_|config|known_hosts|authorized)|\.aws[\/\\]{1,2}credentials|\.git-credentials|\.pypirc|\.netrc\b|\.docker[\/\\]{1,2}config\.json|\.kube[\/\\]{1,2}config\b|claude_desktop_config\.json|\.cursor[\/\\]{1,2}mcp\.json|Login Data\b|wallet\.dat|\/etc\/shadow\b)`;

const SHELL = String.raw`(?<download>(?:curl|wget)\s[^\n"'\x60|]{1,200}\|\s{0,8}(?:sudo\s{1,8})?(?:ba|z|da)?sh\b|powershell\b[^\n]{0,80}-[Ee](?:nc|ncodedCommand)\b|iex\s?\(\s?(?:iwr|irm)\b)`;

// `.data` of a message event is what the other side of a worker sent, not what a client fetched: that is code made at run time (`dynamic`).
const JAVASCRIPT = String.raw`process\.env(?:\.(?<env>[A-Za-z_][A-Za-z0-9_]{1,100})|\[["'\x60](?<env2>[A-Za-z_][A-Za-z0-9_]{1,100})["'\x60]\])|["'\x60](?:node:)?(?<process>child_process)["'\x60]|(?<decoded>\b(?:eval|(?:new\s)?Function)\s?\(\s?(?:atob|unescape|decodeURIComponent|Buffer\.from|String\.fromCharCode)\s?\()|(?<fetched>\beval\s?\(\s?(?!\s?(?:e|ev|evt|event|msg|message)\.data\b(?!\.(?:text\(|responseText)))(?:await\s)?[\w$.() ]{0,60}(?:\.text\(\)|responseText|\.data\b))|\b(?<dynamic>eval\s?\(|new Function\s?\(|vm\.(?:runIn|Script|compileFunction))|(?<mangled>_0x[0-9a-f]{4,8}\b)|(?<jsfuck>\[\]\)?\[?[[\]()!+]{400})`;

const PYTHON = String.raw`\bos\.(?:environ(?:\.get\(|\.setdefault\(|\[|\.pop\()|getenv\()\s?["'](?<env>[A-Za-z_][A-Za-z0-9_]{1,100})["']|\b(?<process>subprocess\.(?:run|Popen|call|check_\w{1,20}|getoutput|getstatusoutput)|os\.(?:system|popen|exec[lv]\w{0,3}|spawn\w{1,4}|posix_spawn)|pty\.spawn|asyncio\.create_subprocess_\w{1,6})\s?\(|(?<decoded>\b(?:exec|eval)\s?\(\s?(?:compile\s?\(\s?)?(?:base64|zlib|lzma|bz2|codecs|bytes\.fromhex|binascii|marshal|__import__\s?\(\s?["'](?:base64|zlib|marshal))\b)|(?<fetched>\b(?:exec|eval)\s?\(\s?(?:compile\s?\(\s?)?(?:requests|urllib|urlopen|httpx|http)\b)|(?<dynamic>(?<![\w.])(?:exec|eval)\s?\(|\bmarshal\.loads\s?\()`;

export type Language = 'javascript' | 'python' | 'shell' | 'text';

function pattern(...parts: readonly string[]): RegExp {
  return new RegExp(parts.join('|'), 'g');
}

const COMMON = pattern(HOST, SECRET_FILE, SHELL, CREDENTIAL);

/**
 * Run one after the other: measured, two expressions of some fifteen alternatives each are faster than one of thirty. Every alternative has a group
 * of its own name; what a match means is read off the group that is there.
 */
export const PATTERNS: Readonly<Record<Language, readonly RegExp[]>> = {
  javascript: [COMMON, pattern(JAVASCRIPT)],
  python: [COMMON, pattern(PYTHON)],
  shell: [COMMON],
  // Prose names hosts and files for people; what hides in it, or slipped into it, counts all the same.
  text: [pattern(CREDENTIAL)],
};

/** Longest match of any of them, in bytes, with what stands around it: windows overlap by so much. */
export const LONGEST = 1024;

/** Namespaces and placeholders that are written as addresses but never asked. */
const NEVER_ASKED =
  /^(?:(?:www\.)?w3\.org|json-schema\.org|(?:www\.)?example\.(?:com|org|net)|schemas?\.\w.*|localhost|127\.\d.*|0\.0\.0\.0|\d{1,3}\.?|.*\.(?:example|test|invalid|local|localhost))$/i;

/** A host as it would be reached; undefined for what only looks like one. */
export function hostOf(text: string): string | undefined {
  const host = text.toLowerCase().replace(/[.-]+$/, '');
  if (host.length < 4 || host.includes('..') || NEVER_ASKED.test(host)) return undefined;
  if (/^(?:\d{1,3}\.){3}\d{1,3}$/.test(host)) return host;
  return /^(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]{1,20}$/.test(host) ? host : undefined;
}

/** Keys that documentation uses as examples. */
export function isSample(credential: string): boolean {
  return /EXAMPLE|(.)\1{7}|1234567890|abcdefgh|x{6}/i.test(credential);
}

export function languageOf(path: string, head: Uint8Array): Language | undefined {
  const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
  const dot = name.lastIndexOf('.');
  const extension = dot < 0 ? '' : name.slice(dot + 1);
  switch (extension) {
    case 'js':
    case 'cjs':
    case 'mjs':
    case 'jsx':
      return 'javascript';
    case 'ts':
    case 'mts':
    case 'cts':
      return /\.d\.[mc]?ts$/.test(name) ? 'text' : 'javascript';
    case 'py':
    case 'pyw':
    case 'pth':
    case 'pyi':
      return extension === 'pyi' ? 'text' : 'python';
    case 'sh':
    case 'bash':
    case 'ps1':
    case 'bat':
    case 'cmd':
    case 'gyp':
      return 'shell';
    case 'map':
      return undefined;
  }
  // A shebang says what an extension doesn't.
  if (head[0] === 35 && head[1] === 33) {
    const line = Buffer.from(head.subarray(0, 80)).toString('latin1');
    return /node|bun|deno/.test(line) ? 'javascript' : line.includes('python') ? 'python' : 'shell';
  }
  // Node runs a required file of any other extension as JavaScript, but for these two.
  return head.includes(0) ? undefined : 'text';
}

/** The magic number of a compiled program or library. */
export function isNative(head: Uint8Array): boolean {
  if (head.length < 4) return false;
  const magic = Buffer.from(head.buffer, head.byteOffset, 4).readUInt32BE(0);
  return (
    magic === 0x7f454c46 || // ELF
    magic === 0x0061736d || // WebAssembly
    magic === 0xfeedface ||
    magic === 0xfeedfacf ||
    magic === 0xcefaedfe ||
    magic === 0xcffaedfe || // Mach-O
    (magic >>> 16 === 0x4d5a && head.length > 64) // PE
  );
}
