import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseWheelName, preferred, rankOf, supportedTags, uvPlatform } from '../../../builders/pypi/tags.ts';

const files = (...names: readonly string[]) => names.map((file) => ({ file }));

describe('wheel tags', () => {
  test('are those of pip, in its order', () => {
    // `packaging.tags`: cpython_tags((3, 13), ['cp313'], …) and compatible_tags((3, 13), 'cp313', …) for manylinux_2_36 on both machines.
    const tags = [...supportedTags('linux/amd64'), ...supportedTags('linux/arm64')];
    expect(tags).toHaveLength(1714);
    expect(
      createHash('sha256')
        .update(tags.map((tag) => `${tag}\n`).join(''))
        .digest('hex'),
    ).toBe('ac6346afc2cce4544b3ab5671c36051b81de546f6fc775c0c38872c63fc0898a');
  });

  test('uv is told the same ceiling', () => {
    expect(uvPlatform('linux/amd64')).toBe('x86_64-manylinux_2_36');
    expect(uvPlatform('linux/arm64')).toBe('aarch64-manylinux_2_36');
  });

  test.each([
    ['a-1-cp313-cp313-manylinux_2_37_x86_64.whl', 'newer glibc'],
    ['a-1-cp314-cp314-manylinux_2_17_x86_64.whl', 'newer Python'],
    ['a-1-cp312-cp312-manylinux_2_17_x86_64.whl', 'older ABI'],
    ['a-1-cp314-abi3-manylinux_2_17_x86_64.whl', 'newer stable ABI'],
    ['a-1-cp313-cp313t-manylinux_2_17_x86_64.whl', 'free-threaded'],
    ['a-1-cp313-cp313-musllinux_1_2_x86_64.whl', 'musl'],
    ['a-1-py3-none-win_amd64.whl', 'Windows'],
    ['a-1-py3-none-macosx_11_0_arm64.whl', 'macOS'],
    ['a-1-py2-none-any.whl', 'Python 2'],
  ])('%s does not run (%s)', (file) => {
    expect(rankOf(parseWheelName(file)!, 'linux/amd64')).toBeUndefined();
  });

  test('the most specific wheel is preferred, whatever the order of the index', () => {
    const best = 'a-1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl';
    const all = files(
      'a-1-py3-none-any.whl',
      'a-1-cp37-abi3-manylinux_2_28_x86_64.whl',
      best,
      'a-1-cp313-cp313-musllinux_1_2_x86_64.whl',
      'a-1-cp313-cp313-manylinux_2_17_aarch64.whl',
    );
    expect(preferred(all, 'linux/amd64')?.file).toBe(best);
    expect(preferred([...all].reverse(), 'linux/amd64')?.file).toBe(best);
    expect(preferred(all, 'linux/arm64')?.file).toBe('a-1-cp313-cp313-manylinux_2_17_aarch64.whl');
  });

  test('a newer glibc is preferred, then a newer stable ABI, then the higher build', () => {
    const pick = (...names: readonly string[]) => preferred(files(...names), 'linux/amd64')?.file;
    expect(pick('a-1-cp311-abi3-manylinux_2_17_x86_64.whl', 'a-1-cp39-abi3-manylinux_2_34_x86_64.whl')).toBe(
      'a-1-cp311-abi3-manylinux_2_17_x86_64.whl',
    );
    expect(pick('a-1-cp39-abi3-manylinux_2_17_x86_64.whl', 'a-1-cp39-abi3-manylinux_2_34_x86_64.whl')).toBe(
      'a-1-cp39-abi3-manylinux_2_34_x86_64.whl',
    );
    expect(pick('a-1-9-py3-none-any.whl', 'a-1-10-py3-none-any.whl', 'a-1-py3-none-any.whl')).toBe(
      'a-1-10-py3-none-any.whl',
    );
  });

  test.each([
    'a-1.tar.gz',
    'a-1-py3-none.whl',
    'a-1-py3-none-any.whl.asc',
    '../a-1-py3-none-any.whl',
    'a-1-x-py3-none-any.whl',
    'a-1-py3-none-any-x.whl.exe',
  ])('%s is no wheel', (file) => {
    expect(parseWheelName(file)).toBeUndefined();
  });
});
