import { McpBuildError } from '../../errors/index.ts';
import { normalizeProject } from '../source.ts';
import { wheelInvalid } from './faults.ts';

/** One console or GUI script: what the installer writes a launcher for. */
export interface Script {
  readonly name: string;
  readonly module: string;
  /** Dotted path of the object in the module. */
  readonly object: string;
}

const IDENTIFIER = /^[\p{L}_][\p{L}\p{Nd}_]*(?:\.[\p{L}_][\p{L}\p{Nd}_]*)*$/u;
// One path segment that no shell or kernel reads as anything else; the wheel's author chooses it.
const SCRIPT_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}$/;

/** Whether a name that a wheel gives can be one file in the folder of executables. */
export function isScriptName(name: string): boolean {
  return SCRIPT_NAME.test(name) && !name.endsWith(' ');
}

/**
 * The launchers that `entry_points.txt` asks for (entry points specification), in the order in which it names them.
 * @throws McpBuildError `wheel-invalid` for a name that is a path or an object that is no dotted identifier: both go into files we write
 */
export function readScripts(text: string, wheel: string): readonly Script[] {
  const scripts = new Map<string, Script>();
  let wanted = false;
  for (const raw of text.split(/\r\n|\r|\n/)) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    const section = /^\[(.*)\]$/.exec(line);
    if (section) {
      const title = section[1]?.trim();
      wanted = title === 'console_scripts' || title === 'gui_scripts';
      continue;
    }
    if (!wanted) continue;
    const equals = line.indexOf('=');
    const name = line.slice(0, equals).trim();
    // Extras after the object only say when it is of use; installers write the launcher all the same.
    const value = /^([^\s[]+)\s*(?:\[[^\]]*\])?$/.exec(line.slice(equals + 1).trim())?.[1] ?? '';
    const [module = '', object = '', ...more] = value.split(':').map((part) => part.trim());
    if (equals < 1 || !isScriptName(name)) throw wheelInvalid(wheel, `names a script "${name || line}"`);
    if (more.length > 0 || !IDENTIFIER.test(module) || !IDENTIFIER.test(object)) {
      throw wheelInvalid(wheel, `says that its script "${name}" is "${value}", which is no module and object`);
    }
    if (!scripts.has(name)) scripts.set(name, { name, module, object });
  }
  return [...scripts.values()];
}

/**
 * Which of a package's executables starts the server: the one asked for, the one named like the package (as uvx does), or the only one.
 * @throws McpBuildError `not-a-server` without any; `bin-not-found`, `bin-ambiguous`
 */
export function chooseScript(project: string, available: readonly string[], wanted: string | undefined): string {
  const listed = available.join(', ');
  if (available.length === 0) {
    throw new McpBuildError({
      code: 'not-a-server',
      message: `${project} installs no command, so there is nothing to start`,
      input: project,
      fix: 'Check the name: an MCP server on PyPI has a console script. A library can be locked only as a dependency.',
    });
  }
  if (wanted !== undefined) {
    if (available.includes(wanted)) return wanted;
    throw new McpBuildError({
      code: 'bin-not-found',
      message: `${project} has no command "${wanted}"; it has ${listed}`,
      input: wanted,
      fix: `Choose one of ${listed}.`,
      exit: 2,
    });
  }
  const named =
    available.find((name) => name === project) ?? available.find((name) => normalizeProject(name) === project);
  if (named !== undefined) return named;
  const only = available[0];
  if (available.length === 1 && only !== undefined) return only;
  throw new McpBuildError({
    code: 'bin-ambiguous',
    message: `${project} has several commands and none is named like it: ${listed}`,
    input: project,
    fix: 'Choose one of them with --bin.',
    exit: 2,
  });
}
