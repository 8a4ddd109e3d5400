import { createHash } from 'node:crypto';
import { SCRIPT } from './page-script.ts';
import { STYLE } from './page-style.ts';

export interface Page {
  readonly html: string;
  /** Content-Security-Policy: this style and this script, and requests to this gateway; nothing else. */
  readonly policy: string;
}

let made: Page | undefined;

/** The status page: one file that asks nobody else for anything. It holds no data; its script reads `/_status.json`. */
export function page(): Page {
  made ??= {
    html: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>mcp-build gateway</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#servers">Skip to the servers</a>
<header>
  <h1>mcp-build gateway</h1>
  <p id="summary" role="status" aria-live="polite">Loading…</p>
  <button id="forget" hidden>Sign out</button>
</header>
<form id="entry" hidden>
  <label for="token">Token</label>
  <input id="token" type="password" autocomplete="off" spellcheck="false" required aria-describedby="hint">
  <button>Show</button>
  <p id="hint">A token that may watch, made with <code>mcp-build token create NAME --role viewer</code> (or <code>operator</code>, to stop servers, too). It stays in this tab.</p>
</form>
<main>
  <section id="servers-section" aria-labelledby="servers-title">
    <h2 id="servers-title">Servers</h2>
    <div id="finder" role="search" hidden>
      <label for="find">Find</label>
      <input id="find" type="search" autocomplete="off" spellcheck="false" placeholder="name, state, digest or tool" aria-keyshortcuts="/" aria-controls="servers">
      <span id="found" role="status"></span>
    </div>
    <div id="servers"></div>
  </section>
  <section id="incidents-section" aria-labelledby="incidents-title" hidden>
    <h2 id="incidents-title">What happened</h2>
    <ol id="incidents"></ol>
  </section>
  <section id="audit-section" aria-labelledby="audit-title" hidden>
    <h2 id="audit-title">Audit log</h2>
    <p id="audit"></p>
  </section>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`,
    policy: [
      "default-src 'none'",
      `style-src '${hashOf(STYLE)}'`,
      `script-src '${hashOf(SCRIPT)}'`,
      "connect-src 'self'",
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ].join('; '),
  };
  return made;
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
