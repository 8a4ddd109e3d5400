export const STYLE = `
:root{color-scheme:light dark;--ink:#1d2430;--dim:#5b6472;--line:#d9dee6;--paper:#fff;--panel:#f6f8fa;--bad:#b42318;--warn:#b25e09;--low:#3f5f8a;--good:#1a7f4b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#9aa4b2;--line:#333b47;--paper:#14181f;--panel:#1b212a;--bad:#ff8a80;--warn:#f5b661;--low:#9cc0f0;--good:#6fd6a3}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.5rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{margin:.1em 0;font-size:1.8rem;overflow-wrap:anywhere}h2{margin:2em 0 .6em;font-size:1.25rem;border-bottom:1px solid var(--line)}h3{margin:0;font-size:1rem;font-weight:600}
header{border-left:6px solid var(--good);background:var(--panel);padding:1rem 1.25rem;border-radius:6px}header.bad{border-color:var(--bad)}header.warn{border-color:var(--warn)}
.verdict{margin:0;font-weight:700;color:var(--good)}.bad .verdict{color:var(--bad)}.warn .verdict{color:var(--warn)}header p{margin:.3em 0}
nav{margin:1rem 0;display:flex;gap:1rem;flex-wrap:wrap}a{color:var(--low)}
code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}pre{background:var(--panel);padding:.6rem .8rem;border-radius:4px;white-space:pre-wrap;margin:.5em 0}
article{border:1px solid var(--line);border-left:5px solid var(--dim);border-radius:6px;padding:.7rem 1rem;margin:.7rem 0}article p{margin:.35em 0}
article.critical,article.high{border-left-color:var(--bad)}article.medium{border-left-color:var(--warn)}article.low{border-left-color:var(--low)}
.badge{font-size:.75rem;text-transform:uppercase;letter-spacing:.04em;color:var(--dim)}.critical .badge,.high .badge{color:var(--bad)}.medium .badge{color:var(--warn)}
.refused{background:var(--bad);color:var(--paper);border-radius:3px;padding:0 .4em;font-size:.75rem}
.small{color:var(--dim);font-size:.85rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line);font-weight:400;overflow-wrap:anywhere}
thead th{font-weight:600}th[scope=row]{width:34%}tr.high th,code.high,code.critical{color:var(--bad)}code.medium{color:var(--warn)}code.low{color:var(--low)}
ul{padding-left:1.2rem}.tree,.tree ul{list-style:none;padding-left:1.1rem;border-left:1px solid var(--line)}.tree{border:0;padding:0}summary{cursor:pointer}
footer{margin-top:3rem;color:var(--dim);font-size:.85rem}@media print{nav{display:none}details{display:block}}
`;
