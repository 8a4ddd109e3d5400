import { isBuiltin } from 'node:module';
import { join, relative, sep } from 'node:path';
import { type OutputChunk, type Plugin, rolldown } from 'rolldown';

/**
 * Dependencies whose code goes into dist/: small ones without dependencies of their own that nearly every start needs. They stay
 * in package.json, pinned, where audits and update bots see them. All others are loaded from node_modules, and only when needed.
 */
const INLINE = ['commander', 'semver', 'smol-toml', 'yaml', 'zod'];

/** What is started most, and by clients that wait for it. */
const TOGETHER = [
  'cli/line/home.ts',
  'node_modules/zod/index.js',
  'cli/program.ts',
  'runner/reaping.ts',
  'cli/run.ts',
  'cli/verify.ts',
];

/** A program of its own, beside the one that users start: something else in the tree starts it by its path. */
const isProgram = (file: string) => file === 'cli/main.ts' || /-main\.ts$/.test(file);

/**
 * Joins the sources into some dozens of files: Node needs longer to find, check and link 400 small modules than most commands
 * need for their work. What a command doesn't use isn't loaded, and paths relative to a source keep their meaning.
 * @param files the sources, relative to `root`
 * @returns packages whose code is in the output
 */
export async function bundle(root: string, dist: string, files: readonly string[]): Promise<readonly string[]> {
  const programs = files.filter(isProgram);
  const inlined = new Set<string>();
  const bundled = await rolldown({
    cwd: root,
    input: Object.fromEntries(programs.map((file) => [file.slice(0, -'.ts'.length), file])),
    platform: 'node',
    external: (id) =>
      isBuiltin(id) || (/^[@a-z]/.test(id) && !INLINE.some((name) => id === name || id.startsWith(`${name}/`))),
    // No module does anything when it is merely imported, so what a command doesn't call needn't come along.
    treeshake: {
      moduleSideEffects: (id) => id.includes('node_modules') || programs.some((file) => id === join(root, file)),
    },
    plugins: [places(root), builtins()],
    // Commands that load adapters anyway import them; only the others wait with it.
    preserveEntrySignatures: false,
    checks: { ineffectiveDynamicImport: false },
    onLog(level, log, handler) {
      if (level === 'warn') throw new Error(log.message);
      handler(level, log);
    },
  });
  const written = {
    dir: dist,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  } as const;
  const apart = (await bundled.generate(written)).output.filter((chunk) => chunk.type === 'chunk');
  const own = new Set(programs.map((program) => join(root, program)));
  const groups = TOGETHER.map((file, at) => {
    const modules = startedWith(apart, join(root, file)).difference(own);
    // What is common to two is with the first of them.
    return {
      name: file.replace(/^(?:node_modules\/|.*\/(?=[^/]*\.ts$))|(?:\/index)?\.[jt]s$/g, ''),
      test: (id: string) => modules.has(id),
      priority: TOGETHER.length - at,
    };
  });
  const { output } = await bundled.write({
    ...written,
    codeSplitting: { groups, includeDependenciesRecursively: false },
  });
  for (const chunk of output) {
    if (chunk.type !== 'chunk') continue;
    for (const id of chunk.moduleIds) {
      const name = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1];
      if (name) inlined.add(name);
    }
  }
  return [...inlined].sort();
}

/**
 * The modules that run when one is imported, however they were divided among files. Nothing of it imports what is not in it, so that files made of such
 * sets never import one another in a circle.
 */
function startedWith(chunks: readonly OutputChunk[], module: string): ReadonlySet<string> {
  const named = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const reached = new Set<OutputChunk>();
  const reach = (chunk: OutputChunk | undefined) => {
    if (!chunk || reached.has(chunk)) return;
    reached.add(chunk);
    for (const name of chunk.imports) reach(named.get(name));
  };
  reach(chunks.find(({ moduleIds }) => moduleIds.includes(module)));
  return new Set([...reached].flatMap(({ moduleIds }) => moduleIds));
}

const PLACE = '__SOURCE_URL__';

/** `import.meta.url` goes on naming the place of the source in the tree, whichever file its code came to lie in. */
function places(root: string): Plugin {
  return {
    name: 'places',
    transform: {
      filter: { code: 'import.meta.url', id: { exclude: /node_modules/ } },
      handler(code, id) {
        const place = relative(root, id).split(sep).join('/').replace(/\.ts$/, '.js');
        return code.replaceAll('import.meta.url', `${PLACE}(${JSON.stringify(place)})`);
      },
    },
    renderChunk(code, chunk) {
      const up = '../'.repeat(chunk.fileName.split('/').length - 1) || './';
      return code.replace(
        RegExp(`${PLACE}\\("([^"]+)"\\)`, 'g'),
        (_, place) => `new URL("${up}${place}", import.meta.url).href`,
      );
    },
  };
}

/** What a parser of command lines imports as a whole for what nearly nobody asks of it. */
const WAITING = new Set(['node:child_process']);
const lazily = (got: string) => `new Proxy({}, { get: (_, name) => ${got}[name] })`;

/**
 * Gets Node's own modules by `process.getBuiltinModule`. An `import` of one reads every export there is, so that `import … from
 * 'node:http'` loads all of fetch and WebSocket (30 ms) for whoever wants `createServer`.
 */
function builtins(): Plugin {
  return {
    name: 'builtins',
    renderChunk(code) {
      return code.replace(/^import (.+) from "(node:[a-z_/]+)";$/gm, (_, what: string, id: string) => {
        const got = `globalThis.process.getBuiltinModule("${id}")`;
        const [, whole, named] = /^(?:\* as )?([\w$]+)?(?:, )?(\{.*\})?$/.exec(what) ?? [];
        if (!whole && !named) throw new Error(`An import that is written unlike others: ${what}`);
        return [
          ...(whole ? [`const ${whole} = ${WAITING.has(id) ? lazily(got) : got};`] : []),
          ...(named ? [`const ${named.replaceAll(' as ', ': ')} = ${got};`] : []),
        ].join('\n');
      });
    },
  };
}
