/**
 * The page's script. Whatever comes from servers and clients becomes text nodes, never markup; the policy forbids the other way, too. A reading
 * replaces what it shows in place, so that focus and open details stay.
 */
export const SCRIPT = `
'use strict';
const byId = (id) => document.getElementById(id);
const make = (name, properties, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const SVG = 'http://www.w3.org/2000/svg';
const STATES = { up: 'running', starting: 'starting', stopped: 'asleep', failing: 'failing', held: 'stopped', closed: 'closed' };
const milliseconds = (value) => value >= 1000 ? (value / 1000).toFixed(1) + ' s' : Math.round(value) + ' ms';
let token = sessionStorage.getItem('token') || '';
let timer;
const cards = new Map();
// From so many servers on there is a field to find them.
const MANY = 8;

async function ask(path, body) {
  const headers = token ? { authorization: 'Bearer ' + token } : {};
  if (body) headers['content-type'] = 'application/json';
  return fetch(path, { headers, cache: 'no-store', credentials: 'omit', redirect: 'error', method: body ? 'POST' : 'GET', body: body && JSON.stringify(body) });
}

async function read() {
  clearTimeout(timer);
  let again = 2000;
  try {
    const response = await ask('_status.json');
    if (response.status === 401 || response.status === 403) return enter();
    if (!response.ok) throw new Error('The gateway answers ' + response.status);
    show(await response.json());
  } catch (error) {
    say('The gateway can’t be reached: ' + error.message, true);
    again = 5000;
  }
  timer = setTimeout(read, document.hidden ? 15000 : again);
}

function enter() {
  byId('entry').hidden = false;
  byId('forget').hidden = true;
  byId('servers').replaceChildren();
  byId('servers-section').hidden = true;
  cards.clear();
  byId('incidents-section').hidden = byId('audit-section').hidden = true;
  say(token ? 'This token may not see the status' : 'A token is needed', Boolean(token));
  byId('token').focus();
}

function say(text, bad) {
  const summary = byId('summary');
  // Read aloud only when it changes.
  if (summary.textContent !== text) summary.textContent = text;
  summary.classList.toggle('bad', Boolean(bad));
}

function show({ servers, incidents, audit }) {
  byId('entry').hidden = true;
  byId('servers-section').hidden = false;
  byId('forget').hidden = !token;
  const failing = servers.filter(({ state }) => state === 'failing').length;
  const running = servers.filter(({ state }) => state === 'up').length;
  say(servers.length === 0 ? 'No servers are configured' : running + ' of ' + servers.length + ' servers running' + (failing ? ', ' + failing + ' failing' : ''), failing > 0);
  const names = new Set(servers.map(({ name }) => name));
  for (const [name, one] of cards) if (!names.has(name)) { one.root.remove(); cards.delete(name); }
  for (const server of servers) {
    let one = cards.get(server.name);
    if (!one) {
      one = card(server.name);
      cards.set(server.name, one);
      byId('servers').append(one.root);
    }
    const text = JSON.stringify(server);
    if (one.text !== text) {
      one.text = text;
      one.words = [server.name, STATES[server.state] || server.state, server.digest || '', ...server.tools.map((tool) => tool.name)].join('\\n').toLowerCase();
      one.update(server);
    }
  }
  byId('finder').hidden = servers.length < MANY && byId('find').value === '';
  find();
  byId('incidents-section').hidden = incidents.length === 0;
  byId('incidents').replaceChildren(...incidents.map(({ at, incident }) => make('li', {},
    make('time', { dateTime: at, title: at }, new Date(at).toLocaleTimeString()), told(incident))));
  byId('audit-section').hidden = false;
  byId('audit').textContent = audit
    ? audit.trouble || (audit.n === 0 ? 'Nothing is recorded yet.' : 'Record ' + audit.n + ', ' + audit.hash)
    : 'No audit log is written.';
  byId('audit').classList.toggle('trouble', Boolean(audit && audit.trouble));
}

// Every word must be in a server's name, state, digest or tools.
function find() {
  const words = byId('find').value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const one of cards.values()) {
    const hidden = !words.every((word) => one.words.includes(word));
    if (one.root.hidden !== hidden) one.root.hidden = hidden;
    if (!hidden) shown += 1;
  }
  const text = words.length === 0 ? '' : shown + ' of ' + cards.size + ' shown';
  if (byId('found').textContent !== text) byId('found').textContent = text;
}

function told(incident) {
  const { kind, server } = incident;
  const what = {
    started: 'started',
    down: 'went down: ' + incident.why,
    drift: 'offers something else than was signed: ' + incident.what,
    'egress-refused': 'was refused a connection to ' + incident.host + ':' + incident.port,
    'entry-refused': 'somebody was not let in (' + incident.status + ')',
    'call-refused': (incident.client && incident.client.name) + ' was refused ' + incident.method + ' ' + (incident.target || ''),
    'call-blocked': (incident.client && incident.client.name) + ' was refused ' + (incident.target || incident.method) + ': ' + incident.where + ' (' + incident.rule + ')',
    unusual: incident.what,
  }[kind] || kind;
  return server + ': ' + what;
}

function card(name) {
  const state = make('span', { className: 'state' });
  const digest = make('p', { className: 'digest' });
  const trouble = make('p', { className: 'trouble', hidden: true });
  const figures = make('dl', {});
  const calls = chart('calls', 'wrong');
  const times = chart('slowest', 'mean');
  const rows = make('tbody', {});
  const tools = make('details', { hidden: true }, make('summary', {}),
    make('table', {}, make('thead', {}, make('tr', {}, ...['Tool', 'Calls', 'Failed', 'Mean'].map((text) => make('th', { scope: 'col' }, text)))), rows));
  const refused = make('details', { hidden: true }, make('summary', {}), make('ul', {}));
  const stop = make('button', { type: 'button' });
  const restart = make('button', { type: 'button' }, 'Restart');
  const controls = make('div', { className: 'controls' }, stop, restart);
  const root = make('article', {}, make('h3', {}, make('span', {}, name), state), digest, trouble, figures, calls.root, times.root, tools, refused, controls);
  let action = 'stop';
  const order = async (what) => {
    if (what !== 'start' && !confirm((what === 'stop' ? 'Stop ' : 'Restart ') + name + '? Its clients’ calls will fail.')) return;
    stop.disabled = restart.disabled = true;
    try {
      const response = await ask('_control', { server: name, action: what });
      if (!response.ok) say(name + ': ' + what + ' was refused (' + response.status + ')', true);
    } finally {
      stop.disabled = restart.disabled = false;
      read();
    }
  };
  stop.onclick = () => order(action);
  restart.onclick = () => order('restart');
  stop.setAttribute('aria-label', 'Stop ' + name);
  restart.setAttribute('aria-label', 'Restart ' + name);
  return { root, update(server) {
    state.textContent = STATES[server.state] || server.state;
    state.className = 'state ' + server.state;
    digest.textContent = server.digest ? 'verified ' + server.digest.slice(0, 19) + '…' : 'remote: not built here';
    digest.title = server.digest || '';
    trouble.hidden = !server.trouble;
    trouble.textContent = server.trouble || '';
    const hour = server.minutes.reduce((sum, { calls }) => sum + calls, 0);
    const busy = server.minutes.filter(({ calls }) => calls > 0);
    const mean = hour ? busy.reduce((sum, minute) => sum + minute.mean * minute.calls, 0) / hour : 0;
    const facts = [['Clients', server.sessions], ['Calls', server.calls], ['Failed', server.failed], ['Last hour', hour],
      ['Mean', hour ? milliseconds(mean) : '–'], ['Longest', hour ? milliseconds(Math.max(...busy.map(({ slowest }) => slowest))) : '–']];
    figures.replaceChildren(...facts.map(([label, value]) => make('div', {}, make('dt', {}, label), make('dd', {}, String(value)))));
    const most = Math.max(1, ...server.minutes.map((minute) => minute.calls));
    calls.draw(hour > 0, 'Calls a minute: ' + most + ' at most', hour + ' calls in the last hour, ' + most + ' a minute at most',
      server.minutes.map((minute) => minute.calls / most), server.minutes.map((minute) => minute.failed / most));
    const slowest = Math.max(...busy.map((minute) => minute.slowest), 1e-3);
    times.draw(hour > 0, 'Time of a call: ' + milliseconds(slowest) + ' at most', 'Calls of the last hour took ' + milliseconds(mean) + ', ' + milliseconds(slowest) + ' at most',
      server.minutes.map((minute) => minute.calls && minute.slowest / slowest), server.minutes.map((minute) => minute.calls && minute.mean / slowest));
    tools.hidden = server.tools.length === 0;
    tools.firstChild.textContent = server.tools.length + (server.tools.length === 1 ? ' tool called' : ' tools called');
    rows.replaceChildren(...server.tools.map((tool) => make('tr', {}, make('th', { scope: 'row' }, tool.name), ...[tool.calls, tool.failed, milliseconds(tool.mean)].map((value) => make('td', {}, String(value))))));
    refused.hidden = server.egressRefused.length === 0;
    refused.firstChild.textContent = 'Refused connections (' + server.egressRefused.reduce((sum, { count }) => sum + count, 0) + ')';
    refused.lastChild.replaceChildren(...server.egressRefused.map(({ destination, count }) => make('li', {}, destination + ' × ' + count)));
    controls.hidden = !server.controllable;
    action = server.state === 'held' ? 'start' : 'stop';
    stop.textContent = action === 'start' ? 'Start' : 'Stop';
    stop.setAttribute('aria-label', stop.textContent + ' ' + name);
  } };
}

// The last hour, a bar a minute, and before it another one: two paths, however many bars.
function chart(behind, before) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({ viewBox: '0 0 60 20', preserveAspectRatio: 'none', role: 'img' })) svg.setAttribute(key, value);
  const paths = [behind, before].map((name) => {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', name);
    svg.append(path);
    return path;
  });
  const caption = make('figcaption', {});
  const root = make('figure', { hidden: true }, caption, svg);
  const bars = (parts) => parts.map((part, at) => part > 0 ? 'M' + (at + 0.1) + ' 20v-' + (part * 20).toFixed(2) + 'h.8V20z' : '').join('');
  return { root, draw(some, title, label, ...series) {
    root.hidden = !some;
    if (!some) return;
    caption.textContent = title;
    svg.setAttribute('aria-label', label);
    series.forEach((parts, at) => paths[at].setAttribute('d', bars(parts)));
  } };
}

byId('entry').onsubmit = (event) => {
  event.preventDefault();
  token = byId('token').value.trim();
  byId('token').value = '';
  sessionStorage.setItem('token', token);
  read();
};
byId('find').oninput = find;
document.onkeydown = (event) => {
  const field = byId('find');
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement ? document.activeElement.tagName : '');
  if (event.key === '/' && !typing && !byId('finder').hidden && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    field.focus();
  } else if (event.key === 'Escape' && document.activeElement === field) {
    field.value = '';
    find();
  }
};
byId('forget').onclick = () => {
  token = '';
  sessionStorage.removeItem('token');
  read();
};
document.onvisibilitychange = () => { if (!document.hidden) read(); };
read();
`;
