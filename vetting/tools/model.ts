/**
 * Log odds by technique, fitted on test/fixtures/tools (docs/vetting.md); `UPDATE_MODEL=1 npx vitest run --project unit test/vetting/tools`
 * writes it. Those of hidden text are set by hand: nobody hides a description.
 */
export const MODEL: { readonly bias: number; readonly weights: Readonly<Record<string, number>> } = {
  bias: -2.25,
  weights: {
    markup: 3.11,
    override: 3.62,
    conceal: 4.03,
    'secret-file': 3.04,
    'secret-word': 2.28,
    conversation: 3.35,
    exfiltrate: 2.71,
    'side-channel': 0.77,
    first: 2.92,
    'other-tool': 3.2,
    urgency: 0,
    'no-consent': 2.53,
    persist: 3.3,
    role: 2.36,
    prefer: 3.32,
    shell: 3.07,
    decode: 0.42,
    threat: 2.18,
    result: 3.36,
    pretext: 1.45,
    invisible: 8,
    bidi: 8,
    'zero-width': 8,
    encoded: 4,
    offscreen: 3,
    endless: 1,
  },
};
