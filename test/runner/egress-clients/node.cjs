'use strict';
// Asks by every client for an address of its own, one after the other: `{"fetch":"host:port",…}` → `{"fetch":"from outside",…}`.
const http2 = require('node:http2');
const https = require('node:https');
const tls = require('node:tls');
const axios = require('axios');
const axiosBefore = require('axios-before');
const got = require('got').default;
const nodeFetch = require('node-fetch');
const undici = require('undici');
const WS = require('ws');

const text = (answer) => answer.text();
const body = (answer) => answer.body.text();

/** @param more what is given to `https.get` beside the address */
function getting(url, more) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, more, async (response) => resolve((await response.toArray()).join('')));
    request.on('error', reject);
  });
}

function opened(socket) {
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve('opened');
    socket.onerror = (event) => reject(event.error ?? new Error(event.message ?? 'refused'));
  });
}

const CLIENTS = {
  fetch: (url) => fetch(url).then(text),
  https: (url) => getting(url, {}),
  'https-own-agent': (url) => getting(url, { agent: new https.Agent({ keepAlive: true }) }),
  axios: async (url) => (await axios.get(url)).data,
  'axios-before': async (url) => (await axiosBefore.get(url)).data,
  got: (url) => got(url, { retry: { limit: 0 } }).text(),
  'node-fetch': (url) => nodeFetch.default(url).then(text),
  undici: (url) => undici.request(url).then(body),
  'undici-own-agent': (url) => undici.request(url, { dispatcher: new undici.Agent() }).then(body),
  websocket: (url) => opened(new WebSocket(url.replace('https', 'wss'))),
  ws: (url) => opened(new WS(url.replace('https', 'wss'))),
  http2: (url) =>
    new Promise((resolve, reject) => {
      const session = http2
        .connect(url)
        .on('error', reject)
        .on('connect', () => resolve('connected'));
      session.unref();
    }),
  tls: (url) =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(url);
      const socket = tls.connect({ host: hostname, port: Number(port || 443) }, () => resolve('connected'));
      socket.on('error', reject);
    }),
};

async function main() {
  const results = {};
  for (const [client, address] of Object.entries(JSON.parse(process.argv[2]))) {
    const url = `https://${address.replace(/:443$/, '')}/${client}`;
    results[client] = await Promise.resolve(url)
      .then(CLIENTS[client])
      .catch((error) => `failed: ${error.cause?.message ?? error.message}`);
  }
  process.stdout.write(JSON.stringify(results), () => process.exit(0));
}

main();
