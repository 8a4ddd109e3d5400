import { expect, test } from 'vitest';
import type { Launch } from '../../../builders/index.ts';
import { requireGiven } from '../../../cli/line/launch.ts';
import { sha256 } from '../../../digest/index.ts';

const launch: Launch = {
  document: { name: 'io.github.example/server', version: '1.0.0', digest: sha256('document') },
  args: [],
  defaults: [],
  wanted: [],
  environment: [],
};
const key = { name: 'API_KEY', description: 'from\u001b[2J your\naccount', required: true, secret: true };

test('what is required is asked for by name, and never taken from the environment', () => {
  const one = { ...launch, environment: [key, { name: 'MODE', required: true, secret: false, value: 'x' }] };
  expect(() => requireGiven(one, {}, [])).toThrow(
    expect.objectContaining({ code: 'environment-missing', input: 'API_KEY', exit: 2 }),
  );
  expect(() => requireGiven(one, {}, [])).not.toThrow(/\p{Cc}/u);
  requireGiven(one, { API_KEY: '' }, []);
  requireGiven(undefined, {}, []);
});

test('arguments that are required are asked for until any are given', () => {
  const one = { ...launch, wanted: [{ name: 'folder', required: true, secret: false }] };
  expect(() => requireGiven(one, {}, [])).toThrow(
    expect.objectContaining({ code: 'argument-missing', input: 'folder' }),
  );
  requireGiven(one, {}, ['/data']);
});
