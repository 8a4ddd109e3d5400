import { describe, expect, test } from 'vitest';
import { lines } from '../../gateway/index.ts';
import { quickAnswer, slowAnswer, withId } from '../../gateway/rpc/answer.ts';
import { isToolError } from '../../gateway/rpc/tool-error.ts';

const answered = (text: string) => {
  const line = Buffer.from(text);
  const answer = quickAnswer(line) ?? slowAnswer(line);
  if (!answer) throw new Error('no answer');
  return answer;
};

describe('an answer', () => {
  test.each([
    ['first', (id: string) => `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"text":"é"}]}}`],
    ['last', (id: string) => `{"result":{"content":[{"text":"é"}]},"jsonrpc":"2.0","id":${id}}`],
    [
      'in between',
      (id: string) => `{ "jsonrpc": "2.0", "result": {"text":"é"}, "id": ${id}, "extra": "${'x'.repeat(50)}" }`,
    ],
    ['in between, late', (id: string) => `{ "extra": "${'x'.repeat(50)}", "id" : ${id} , "result":{} }`],
  ])('with its id %s has the client’s in that place, and every other byte as it was', (_where, text) => {
    for (const id of ['1', '"é"', '1000000000', '"a-name-that-is-longer-than-any-number"', '1.0', '"]}"']) {
      const answer = answered(text('1000000007'));
      expect(answer.id).toBe(1_000_000_007);
      expect(withId(answer, id).toString()).toBe(text(id));
    }
  });
});

describe('a stream of bytes', () => {
  test('is taken apart into its lines, wherever its pieces end and whatever becomes of their memory', () => {
    const whole = Buffer.from(`one\r\n\n${'é'.repeat(3_000)}\nthree\r\n${'x'.repeat(9_000)}\n\r\nlast`);
    const expected = ['one', 'é'.repeat(3_000), 'three', 'x'.repeat(9_000)];
    for (const size of [1, 2, 3, 5, 4096, 7000, whole.length]) {
      const found: Buffer[] = [];
      const reader = lines(
        100_000,
        (line) => found.push(line),
        () => found.push(Buffer.from('overflow')),
      );
      for (let at = 0; at < whole.length; at += size) {
        const piece = Buffer.from(whole.subarray(at, at + size));
        reader.push(piece);
        piece.fill(0);
      }
      expect(found.map(String)).toEqual(expected);
    }
  });

  test('ends with a line that is too long', () => {
    const found: string[] = [];
    const reader = lines(
      10,
      (line) => found.push(`${line}`),
      () => found.push('overflow'),
    );
    for (const piece of ['short\n', '0123456', '7890', '1\nafter\n']) reader.push(Buffer.from(piece));
    expect(found).toEqual(['short', 'overflow']);
  });
});

describe('a tool’s own error', () => {
  const said = (line: string) => isToolError(Buffer.from(line));

  test('is a result with isError, wherever and however it is written', () => {
    for (const line of [
      '{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[]}}',
      '{"result":{"content":[{"type":"text","text":"no"}],"isError" :\t true},"jsonrpc":"2.0","id":1}',
      '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"isError":true},"isError":true}}',
      '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"isError":false},"isError":true}}',
    ])
      expect(said(line), line).toBe(true);
  });

  test('is nothing that a text quotes or that stands elsewhere', () => {
    for (const line of [
      '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}',
      '{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}',
      '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\\"isError\\":true}"}]}}',
      '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"isError":true}}}',
      '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"isError":true},"isError":false}}',
      '{"jsonrpc":"2.0","id":1,"result":{"structuredContent":["isError",true],"isError":"true"}}',
      '{"jsonrpc":"2.0","id":1,"result":null,"isError":true}',
      '{"jsonrpc":"2.0","id":1,"isError"',
    ])
      expect(said(line), line).toBe(false);
  });
});
