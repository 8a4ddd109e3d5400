/** Colours by the reader's own choice of light or dark; each pair of text and ground has a contrast of 4.5 or more. */
export const STYLE = `
:root {
  --ground: #f6f7f9; --card: #fff; --text: #16191d; --quiet: #59636e; --line: #d5dae0;
  --good: #14692f; --bad: #b3261e; --warn: #7a5200; --accent: #0b57a4; --bar: #7aa7d8; --bar-bad: #d9534a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101317; --card: #181c22; --text: #e6e9ed; --quiet: #9aa5b1; --line: #2f363f;
    --good: #5fd38a; --bad: #ff8a80; --warn: #e6b450; --accent: #7cb8ff; --bar: #3d6ea5; --bar-bad: #c7564e;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
header, main, form { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.25rem; padding-top: 1.25rem; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
#summary { margin: 0; color: var(--quiet); flex: 1 1 16rem; }
#summary.bad { color: var(--bad); font-weight: 600; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem; }
form { display: grid; gap: .5rem; max-width: 30rem; margin-top: 2rem; }
form[hidden] { display: none; }
input, button { font: inherit; color: inherit; padding: .4rem .7rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--card); }
button { cursor: pointer; color: var(--accent); min-height: 2.75rem; min-width: 2.75rem; }
button:disabled { cursor: wait; color: var(--quiet); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
#hint { margin: 0; color: var(--quiet); font-size: .875rem; }
#finder { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; margin: 0 0 .75rem; }
#finder[hidden], article[hidden] { display: none; }
#find { flex: 1 1 12rem; max-width: 24rem; min-height: 2.75rem; }
#find::placeholder { color: var(--quiet); opacity: 1; }
#found { color: var(--quiet); font-size: .875rem; }
#servers { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); align-items: start; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem; min-width: 0; content-visibility: auto; contain-intrinsic-size: auto 16rem; }
article h3 { margin: 0; font-size: 1.05rem; display: flex; gap: .6rem; justify-content: space-between; overflow-wrap: anywhere; }
.state { font-size: .8rem; font-weight: 600; white-space: nowrap; }
.up { color: var(--good); } .failing { color: var(--bad); } .starting, .held { color: var(--warn); } .stopped { color: var(--quiet); }
.digest { margin: .15rem 0 .5rem; color: var(--quiet); font: .8rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.trouble { color: var(--bad); margin: .25rem 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(3, 1fr); gap: .25rem 1rem; margin: .25rem 0; }
dt { color: var(--quiet); font-size: .75rem; } dd { margin: 0; font-variant-numeric: tabular-nums; }
figure { margin: .4rem 0; } figure[hidden] { display: none; } figcaption { color: var(--quiet); font-size: .75rem; }
svg { display: block; width: 100%; height: 2rem; border-bottom: 1px solid var(--line); }
.calls, .mean { fill: var(--bar); } .wrong { fill: var(--bar-bad); } .slowest { fill: var(--line); }
details { margin-top: .4rem; } summary { cursor: pointer; color: var(--accent); padding: .3rem 0; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { text-align: right; padding: .2rem .3rem; border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th:first-child { text-align: left; overflow-wrap: anywhere; font-weight: 400; }
thead th { color: var(--quiet); border: 0; }
.controls { display: flex; gap: .5rem; margin-top: .6rem; }
.controls[hidden] { display: none; }
ol { list-style: none; margin: 0; padding: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
li { padding: .4rem 1rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; } li:first-child { border: 0; }
time { color: var(--quiet); margin-right: .75rem; font-variant-numeric: tabular-nums; }
#audit { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .6rem 1rem; margin: 0 0 3rem; overflow-wrap: anywhere; }
`;
