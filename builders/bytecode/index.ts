export { bakeBytecode, bytecodeLayer, sourceLayer, TRANSFORM as BYTECODE_TRANSFORM } from './bake.ts';
export { type Compiler, compilerOf } from './compiler.ts';
export { unavailable as bytecodeUnavailable } from './faults.ts';
export {
  type Interpreter,
  interpreterLayer,
  interpreterVersion,
  libraryLayer,
  placeInterpreter,
} from './interpreter.ts';
