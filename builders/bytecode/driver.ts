import { isAscii } from 'node:buffer';

/**
 * What the base's interpreter is started with: it reads sources from a pipe and writes byte-code into another. It never imports and never
 * executes what it is given; a source is only parsed and compiled. What it is given was written by strangers, so it first
 * gives up what a bug in the compiler could be used for: more memory, files of any size, core dumps.
 *
 * In: care (1 byte), length of the path (4, big-endian), length of the source (4), path, source. Out: length (4), byte-code; 0 for none.
 * First of all it writes the tag of its byte-code the same way.
 *
 * The byte-code is `py_compile`'s, unchecked-hash (PEP 552): no time stamp in it, and nothing to look up at start.
 *
 * Byte-code must not depend on what was compiled before. What is shared within it depends on the strings that modules of the process hold, and
 * some sources have the compiler load modules: codecs, Unicode's tables, the classes of syntax trees. Those are compiled in a process of
 * their own, forked from one that has loaded nothing since its start; all others leave no trace. What errors and warnings load is
 * loaded at the start.
 */
export const DRIVER = `
import marshal, posix, resource, sys
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
for limit, value in (
    (resource.RLIMIT_AS, 2 << 30),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_FSIZE, 0),
):
    resource.setrlimit(limit, (value, value))
key = int.from_bytes(MAGIC_NUMBER, "little")
read, write, flush = sys.stdin.buffer.read, sys.stdout.buffer.write, sys.stdout.buffer.flush

def send(data):
    write(len(data).to_bytes(4, "big"))
    write(data)
    flush()

def number(node):
    kind = type(node).__name__
    if kind == "Constant":
        return type(node.value) in (int, float, complex)
    if kind == "UnaryOp":
        return number(node.operand)
    return kind == "BinOp" and number(node.left) and number(node.right)

def parts(node):
    kind = type(node).__name__
    if kind == "Constant":
        yield type(node.value)
    elif kind == "UnaryOp":
        yield from parts(node.operand)
        yield type(node.op).__name__
    else:
        yield from parts(node.left)
        yield from parts(node.right)

def inexact(tree):
    todo = [tree]
    while todo:
        node = todo.pop()
        if type(node).__name__ == "BinOp" and number(node):
            operator, kinds = type(node.op).__name__, set(parts(node))
            if operator == "Pow" and kinds & {float, complex, "USub", "Invert"}:
                return True
            if operator in ("Mult", "Div") and complex in kinds:
                return True
        for name in getattr(node, "_fields", ()):
            value = getattr(node, name)
            if isinstance(value, list):
                todo.extend(value)
            elif hasattr(value, "_fields"):
                todo.append(value)
    return False

def compiled(check, path, source):
    try:
        if check and inexact(compile(source, path, "exec", 0x400, dont_inherit=True)):
            return b""
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        return MAGIC_NUMBER + b"\\1\\0\\0\\0" + source_hash(key, source) + marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return b""

for source in ("(", "'\\d'"):
    compiled(0, "", source.encode())
send(sys.implementation.cache_tag.encode())
while head := read(9):
    path = read(int.from_bytes(head[1:5], "big"))
    source = read(int.from_bytes(head[5:9], "big"))
    if head[0] == 0:
        send(compiled(0, path.decode(), source))
        continue
    child = posix.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        try:
            send(compiled(head[0] == 2, path.decode(), source))
        finally:
            posix._exit(0 if sys.exception() is None else 1)
    if posix.waitpid(child, 0)[1] != 0:
        posix._exit(1)
`;

/** What a source asks of the driver. */
export const CARE = {
  /** Plain ASCII: nothing is loaded for it. */
  none: 0,
  /** A process of its own. */
  alone: 1,
  /** That, and a look at its constants. */
  exact: 2,
} as const;

/** By its bytes alone, and rather too much care than too little; in time proportional to them, whoever wrote them. */
export function careFor(source: Uint8Array): (typeof CARE)[keyof typeof CARE] {
  const text = Buffer.from(source.buffer, source.byteOffset, source.length).toString('latin1');
  if (mayBeInexact(text)) return CARE.exact;
  // `\N{…}` loads Unicode's names, a declared coding (PEP 263) its codec.
  const loads = !isAscii(source) || text.includes('\\N{') || /coding[:=]/.test(firstLines(text));
  return loads ? CARE.alone : CARE.none;
}

/** The two lines that may declare a coding. */
function firstLines(text: string): string {
  const end = /\r\n?|\n/g;
  return end.exec(text) && end.exec(text) ? text.slice(0, end.lastIndex) : text;
}

/**
 * Whether a source may hold a constant that processors could round differently: a power of something else than whole numbers, which is
 * the C library's `pow`, or a complex product, which one compiler fuses and another doesn't. Everything else that the compiler
 * computes is whole numbers and the four operations of IEEE 754. Says yes far too often; the driver then looks at the syntax tree.
 */
function mayBeInexact(text: string): boolean {
  // A comment may stand before the number: not looked into, as a source of nothing but them would take quadratic time.
  return /\*\*(?:[\s(+~-]|\\\r?\n)*[0-9.#]/.test(text) || /[0-9.][jJ]\b/.test(text);
}
