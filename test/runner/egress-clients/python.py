"""Asks by every client for an address of its own, one after the other: `{"httpx":"host:port",…}` -> `{"httpx":"from outside",…}`."""

import asyncio
import http.client
import json
import os
import socket
import ssl
import sys
import urllib.request

import aiohttp
import httpx
import requests
import urllib3
import websockets


async def aiohttp_with(url, trust_env):
    async with aiohttp.ClientSession(trust_env=trust_env) as session, session.get(url) as answer:
        return await answer.text()


async def httpx_async(url):
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).text


async def opened(url):
    await websockets.connect(url.replace("https", "wss"))
    return "opened"


def http_client(url):
    address = url.split("/")[2]
    connection = http.client.HTTPSConnection(address)
    connection.request("GET", url.removeprefix(f"https://{address}"))
    return connection.getresponse().read().decode()


def over_ssl(url):
    host, _, port = url.split("/")[2].partition(":")
    connection = socket.create_connection((host, int(port or 443)))
    ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    return "connected"


CLIENTS = {
    "urllib": lambda url: urllib.request.urlopen(url).read().decode(),
    "requests": lambda url: requests.get(url).text,
    "httpx": lambda url: httpx.get(url).text,
    "httpx-async": lambda url: asyncio.run(httpx_async(url)),
    "httpx-no-env": lambda url: httpx.get(url, trust_env=False, verify=ssl.create_default_context()).text,
    "aiohttp": lambda url: asyncio.run(aiohttp_with(url, False)),
    "aiohttp-trust-env": lambda url: asyncio.run(aiohttp_with(url, True)),
    "websockets": lambda url: asyncio.run(opened(url)),
    "http-client": http_client,
    "urllib3": lambda url: urllib3.PoolManager(retries=False).request("GET", url).data.decode(),
    "ssl": over_ssl,
}

results = {}
for client, address in json.loads(sys.argv[1]).items():
    try:
        results[client] = CLIENTS[client](f"https://{address.removesuffix(':443')}/{client}")
    except Exception as error:
        results[client] = f"failed: {error!r}"
print(json.dumps(results), flush=True)
os._exit(0)
