import { setFlagsFromString } from "node:v8";
import { connect, isIP } from "node:net";
import { constants, randomBytes } from "node:crypto";
import { chmod, lstat, rm } from "node:fs/promises";
import http from "node:http";
import { spawn } from "node:child_process";
import https from "node:https";
import { isUtf8 } from "node:buffer";
// \0rolldown/runtime.js
var __esmMin = (fn, res, err) => () => {
	if (err) throw err[0];
	try {
		return fn && (res = fn(fn = 0)), res;
	} catch (e) {
		throw err = [e], e;
	}
};
// errors/index.ts
var McpBuildError;
var init_errors = __esmMin((() => {
	McpBuildError = class extends Error {
		name = "McpBuildError";
		code;
		input;
		fix;
		exit;
		constructor(fault) {
			super(fault.message, fault.cause === void 0 ? void 0 : { cause: fault.cause });
			this.code = fault.code;
			this.input = fault.input;
			this.fix = fault.fix;
			this.exit = fault.exit ?? 1;
		}
	};
}));
// runner/keep.ts
init_errors();
const TIMING = {
	backOff: 500,
	longestBackOff: 6e4,
	steady: 3e4,
	pingEvery: 3e4,
	pingTimeout: 1e4,
	pingFailures: 3,
	idle: 0
};
function keep(options) {
	const timing = {
		...TIMING,
		...options.timing
	};
	const say = options.onEvent ?? (() => void 0);
	let current;
	let starting;
	let failures = 0;
	let notBefore = 0;
	let waiting = false;
	let closed = false;
	let used = Date.now();
	const over = new AbortController();
	const begin = async () => {
		const pause = notBefore - Date.now();
		if (pause > 0) {
			waiting = true;
			say({
				kind: "waiting",
				milliseconds: pause
			});
			await delay(pause, over.signal);
			waiting = false;
		}
		if (closed) throw stopped();
		let started;
		try {
			started = await options.start();
		} catch (error) {
			say({
				kind: "start-failed",
				error
			});
			backOff();
			throw error;
		}
		if (closed) {
			await started.stop();
			throw stopped();
		}
		current = started;
		used = Date.now();
		say({ kind: "up" });
		watch(started);
		return started;
	};
	const backOff = () => {
		const wait = Math.min(timing.backOff * 2 ** failures, timing.longestBackOff);
		failures += 1;
		notBefore = Date.now() + wait;
	};
	const watch = async (started) => {
		const begun = Date.now();
		const ending = new AbortController();
		const reasons = [
			started.ended.then(() => "by-itself", () => "by-itself"),
			unhealthy(started.up, ending.signal),
			idle(ending.signal)
		];
		const reason = await Promise.race(reasons);
		ending.abort();
		if (current === started) current = void 0;
		if (closed) return;
		if (Date.now() - begun >= timing.steady) failures = 0;
		if (reason === "idle") failures = 0;
		else backOff();
		await started.stop().catch(() => void 0);
		say({
			kind: "ended",
			reason
		});
	};
	const unhealthy = async (up, signal) => {
		const { ping } = options;
		if (!ping) return never();
		let missed = 0;
		while (missed < timing.pingFailures) {
			await delay(timing.pingEvery, signal);
			if (signal.aborted) return never();
			missed = await Promise.race([ping(up).then(() => true, () => false), delay(timing.pingTimeout, signal).then(() => false)]) ? 0 : missed + 1;
		}
		return "unhealthy";
	};
	const idle = async (signal) => {
		if (timing.idle === 0) return never();
		for (;;) {
			const left = used + timing.idle - Date.now();
			if (left <= 0) return "idle";
			await delay(left, signal);
			if (signal.aborted) return never();
		}
	};
	return {
		async use() {
			if (closed) throw stopped();
			used = Date.now();
			if (current) return current.up;
			starting ??= begin().finally(() => {
				starting = void 0;
			});
			return (await starting).up;
		},
		state() {
			if (closed) return "closed";
			if (current) return "up";
			if (waiting) return "waiting";
			return starting ? "starting" : "stopped";
		},
		async close() {
			if (closed) return;
			closed = true;
			over.abort();
			const running = current;
			current = void 0;
			await starting?.catch(() => void 0);
			await running?.stop();
			if (running) say({
				kind: "ended",
				reason: "stopped"
			});
		}
	};
}
function stopped() {
	return new McpBuildError({
		code: "stopped",
		message: "The server has been stopped",
		fix: "Start it again."
	});
}
function delay(milliseconds, signal) {
	return new Promise((resolve) => {
		if (signal.aborted) return resolve();
		const end = () => {
			clearTimeout(timer);
			signal.removeEventListener("abort", end);
			resolve();
		};
		const timer = setTimeout(end, milliseconds);
		signal.addEventListener("abort", end);
	});
}
function never() {
	return new Promise(() => void 0);
}
// gateway/rpc/outline.ts
const QUOTE = 34;
const BACKSLASH = 92;
function outline(text, at) {
	const members = new Map();
	let next = skipSpace(text, at + 1);
	while (text.charCodeAt(next) === QUOTE) {
		const nameEnd = skipString(text, next);
		const raw = text.slice(next + 1, nameEnd - 1);
		const name = raw.includes("\\") ? JSON.parse(text.slice(next, nameEnd)) : raw;
		const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
		const end = skipValue(text, start);
		if (members.has(name)) return void 0;
		members.set(name, {
			start,
			end
		});
		next = skipSpace(text, end);
		if (text.charCodeAt(next) !== 44) break;
		next = skipSpace(text, next + 1);
	}
	return members;
}
function splice(text, edits) {
	let out = "";
	let from = 0;
	for (const [span, value] of edits) {
		out += text.slice(from, span.start) + value;
		from = span.end;
	}
	return out + text.slice(from);
}
function skipSpace(text, at) {
	for (let next = at;; next += 1) {
		const code = text.charCodeAt(next);
		if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return next;
	}
}
function skipValue(text, at) {
	const first = text.charCodeAt(at);
	if (first === QUOTE) return skipString(text, at);
	if (first !== 123 && first !== 91) return skipWord(text, at);
	let depth = 0;
	for (let next = at; next < text.length;) {
		const code = text.charCodeAt(next);
		if (code === QUOTE) {
			next = skipString(text, next);
			continue;
		}
		next += 1;
		if (code === 123 || code === 91) depth += 1;
		else if (code === 125 || code === 93) {
			depth -= 1;
			if (depth === 0) return next;
		}
	}
	return text.length;
}
function skipWord(text, at) {
	let next = at;
	for (; next < text.length; next += 1) {
		const code = text.charCodeAt(next);
		if (code === 44 || code === 125 || code === 93 || code <= 32) break;
	}
	return next;
}
function skipString(text, at) {
	const near = Math.min(text.length, at + 24);
	for (let next = at + 1; next < near; next += 1) {
		const code = text.charCodeAt(next);
		if (code === QUOTE) return next + 1;
		if (code === BACKSLASH) next += 1;
	}
	for (let next = text.indexOf("\"", at + 1); next >= 0; next = text.indexOf("\"", next + 1)) {
		let slashes = 0;
		while (text.charCodeAt(next - 1 - slashes) === BACKSLASH) slashes += 1;
		if (slashes % 2 === 0) return next + 1;
	}
	return text.length;
}
// gateway/rpc/answer.ts
const FIRST = "{\"jsonrpc\":\"2.0\",\"id\":";
const LAST = /^,"jsonrpc":"2\.0","id":(\d{1,15})\}$/;
function quickAnswer(line) {
	const head = line.toString("latin1", 0, 48);
	if (head.startsWith(FIRST)) {
		let end = 22;
		while (isDigit(head.charCodeAt(end))) end += 1;
		const result = head.startsWith(",\"result\":", end);
		if (end === 22 || end > 38 || !(result || head.startsWith(",\"error\":", end))) return void 0;
		return {
			line,
			id: Number(head.slice(22, end)),
			idSpan: {
				start: 22,
				end
			},
			failed: !result
		};
	}
	const result = head.startsWith("{\"result\":");
	if (!result && !head.startsWith("{\"error\":")) return void 0;
	const from = Math.max(0, line.length - 48);
	const tail = line.toString("latin1", from);
	const comma = tail.lastIndexOf(",\"jsonrpc\":");
	const match = comma < 0 ? null : LAST.exec(tail.slice(comma));
	if (!match) return void 0;
	const end = line.length - 1;
	return {
		line,
		id: Number(match[1]),
		idSpan: {
			start: end - match[1].length,
			end
		},
		failed: !result
	};
}
function slowAnswer(line) {
	const text = line.toString("latin1");
	const members = outline(text, text.indexOf("{"));
	const idSpan = members?.get("id");
	if (!members || !idSpan || members.has("method")) return void 0;
	const id = Number(text.slice(idSpan.start, idSpan.end));
	return Number.isSafeInteger(id) ? {
		line,
		id,
		idSpan,
		failed: members.has("error")
	} : void 0;
}
function withId({ line, idSpan: { start, end } }, id) {
	const name = Buffer.from(id);
	const spare = end - start - name.length;
	if (spare < 0) return Buffer.concat([
		line.subarray(0, start),
		name,
		line.subarray(end)
	]);
	if (start < line.length - end) {
		line.copyWithin(spare, 0, start);
		name.copy(line, start + spare);
		return line.subarray(spare);
	}
	name.copy(line, start);
	line.copyWithin(end - spare, end);
	return line.subarray(0, line.length - spare);
}
function isDigit(code) {
	return code >= 48 && code <= 57;
}
// gateway/rpc/fault.ts
const CODE = {
	parse: -32700,
	request: -32600,
	method: -32601,
	params: -32602,
	internal: -32603,
	unavailable: -32e3,
	timeout: -32001,
	header: -32020,
	capability: -32021,
	version: -32022,
	busy: -32029,
	forbidden: -32030
};
function faultText(id, { code, message, data }) {
	return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(data === void 0 ? {
		code,
		message
	} : {
		code,
		message,
		data
	})}}`;
}
var RpcError = class extends Error {
	name = "RpcError";
	fault;
	constructor(fault) {
		super(fault.message);
		this.fault = fault;
	}
};
function faultOf$1(error) {
	if (error instanceof RpcError) return error.fault;
	return {
		code: CODE.internal,
		message: error instanceof Error ? error.message : String(error)
	};
}
// gateway/rpc/message.ts
const LONGEST_ID = 1e3;
const SHORT = 4096;
function readMessage(body) {
	if (!isUtf8(body)) throw new RpcError({
		code: CODE.parse,
		message: "The body is not UTF-8"
	});
	const given = body.toString("utf8");
	let value;
	try {
		value = JSON.parse(given);
	} catch {
		throw new RpcError({
			code: CODE.parse,
			message: "The body is not JSON"
		});
	}
	if (Array.isArray(value)) throw invalid("Batches are no part of this protocol revision; send one message a request");
	if (!isObject(value)) throw invalid("The body is no JSON-RPC message");
	const text = given.includes("\n") || given.includes("\r") ? given.replace(/[\r\n]/g, " ") : given;
	const members = outline(text, skipSpace(text, 0));
	if (!members) throw invalid("A name stands twice in the message");
	const { method, params } = value;
	if (value.jsonrpc !== "2.0") throw invalid("The message has no \"jsonrpc\":\"2.0\"");
	if (params !== void 0 && !isObject(params)) throw invalid("\"params\" is not an object");
	if (method === void 0) {
		if (!(members.has("result") !== members.has("error")) || !validId(value.id)) throw invalid("The message is neither request, notification nor answer");
		return {
			kind: "response",
			text,
			id: cut(text, members.get("id"))
		};
	}
	if (typeof method !== "string") throw invalid("\"method\" is not a text");
	if (!members.has("id")) return {
		kind: "notification",
		text,
		method,
		params
	};
	if (!validId(value.id)) throw invalid("\"id\" is neither text nor number");
	const idSpan = members.get("id");
	const id = cut(text, idSpan);
	if (id.length > LONGEST_ID) throw invalid("\"id\" is too long");
	return {
		kind: "request",
		text,
		id,
		idSpan,
		method,
		params,
		...paramSpans(text, members.get("params"))
	};
}
function renumber(request, id, meta) {
	const edits = [[request.idSpan, String(id)]];
	if (meta !== void 0 && request.metaSpan) edits.push([request.metaSpan, meta]);
	else if (request.tokenSpan) edits.push([request.tokenSpan, String(id)]);
	return splice(request.text, edits.sort(([a], [b]) => a.start - b.start));
}
function tokenOf({ tokenSpan, text }) {
	return tokenSpan && JSON.parse(text.slice(tokenSpan.start, tokenSpan.end));
}
function metaOf(params) {
	const meta = params?._meta;
	return isObject(meta) ? meta : void 0;
}
function textOf(value) {
	return typeof value === "string" ? value : "";
}
function isObject(value) {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
function paramSpans(text, params) {
	if (!params) return {
		metaSpan: void 0,
		tokenSpan: void 0
	};
	const members = outline(text, params.start);
	const metaSpan = members?.get("_meta");
	const meta = metaSpan && text[metaSpan.start] === "{" ? outline(text, metaSpan.start) : new Map();
	if (!members || !meta) throw invalid("A name stands twice in the parameters");
	return {
		metaSpan,
		tokenSpan: meta.get("progressToken")
	};
}
function cut(text, span) {
	const piece = span ? text.slice(span.start, span.end) : "null";
	return text.length > SHORT ? Buffer.from(piece).toString() : piece;
}
function validId(id) {
	return typeof id === "string" || typeof id === "number";
}
function invalid(message) {
	return new RpcError({
		code: CODE.request,
		message
	});
}
// gateway/peer.ts
const LEGACY = "2025-11-25";
const MODERN = "2026-07-28";
const META = {
	version: "io.modelcontextprotocol/protocolVersion",
	client: "io.modelcontextprotocol/clientInfo",
	capabilities: "io.modelcontextprotocol/clientCapabilities",
	log: "io.modelcontextprotocol/logLevel",
	server: "io.modelcontextprotocol/serverInfo",
	subscription: "io.modelcontextprotocol/subscriptionId"
};
const FIRST_ID = 1e9;
async function connect$1(open, greeting, events, timeout, first = "legacy") {
	let background = 0;
	const pending = new Map();
	let next = FIRST_ID;
	let over;
	let generation = "legacy";
	const channel = await open(receive);
	const failAll = (why) => {
		over = why;
		for (const caller of pending.values()) caller.fail({
			code: CODE.unavailable,
			message: `The server is gone: ${why}`
		});
		pending.clear();
	};
	const ended = channel.ended.then((why) => {
		failAll(why);
		return why;
	});
	function receive(line) {
		const quick = quickAnswer(line);
		if (quick) settle(quick);
		else slow(line);
	}
	function settle(answer) {
		const caller = pending.get(answer.id);
		if (!caller) return;
		drop(answer.id);
		caller.answer(answer);
		events.onSettled?.();
	}
	function drop(id) {
		if (pending.get(id)?.background) background -= 1;
		return pending.delete(id);
	}
	function slow(line) {
		const text = line.toString("utf8");
		let value;
		try {
			value = JSON.parse(text);
		} catch {
			return;
		}
		if (!isObject(value)) return;
		const { id, method } = value;
		if (typeof method !== "string") {
			const answer = slowAnswer(line);
			if (answer) settle(answer);
			return;
		}
		const params = isObject(value.params) ? value.params : void 0;
		if (typeof id === "string" || typeof id === "number") events.onRequest(id, method, text);
		else if (method === "notifications/progress") pending.get(Number(params?.progressToken))?.progress?.(params ?? {});
		else if (id === void 0) events.onNotification(method, params, text);
	}
	function submit(text, id, caller) {
		pending.set(id, caller);
		if (caller.background) background += 1;
		if (over === void 0 && channel.send(text)) return;
		drop(id);
		const message = over === void 0 ? "The server has stopped reading" : `The server is gone: ${over}`;
		queueMicrotask(() => caller.fail({
			code: CODE.unavailable,
			message
		}));
	}
	const peer = {
		ended,
		get waiting() {
			return pending.size - background;
		},
		request(write, caller) {
			const id = next++;
			submit(write(id, generation), id, caller);
			return id;
		},
		ask(method, params, limit) {
			const id = next++;
			return new Promise((resolve, reject) => {
				const timer = setTimeout(() => {
					peer.cancel(id, "timeout");
					reject(new RpcError({
						code: CODE.timeout,
						message: `No answer to ${method} within ${limit} ms`
					}));
				}, limit);
				const done = (act) => {
					clearTimeout(timer);
					act();
				};
				submit(JSON.stringify({
					jsonrpc: "2.0",
					id,
					method,
					params
				}), id, {
					answer: ({ line }) => done(() => read(line, resolve, reject)),
					fail: (fault) => done(() => reject(new RpcError(fault)))
				});
			});
		},
		cancel(id, reason) {
			if (!drop(id) || over !== void 0) return;
			const params = {
				requestId: id,
				...reason === void 0 ? {} : { reason }
			};
			channel.send(JSON.stringify({
				jsonrpc: "2.0",
				method: "notifications/cancelled",
				params
			}));
			events.onSettled?.();
		},
		send: (text) => over === void 0 && channel.send(text),
		async close() {
			failAll("it was stopped");
			await channel.close();
		}
	};
	try {
		const hello = await greet$1(peer, greeting, timeout, first);
		generation = hello.generation;
		return Object.defineProperties({ hello }, Object.getOwnPropertyDescriptors(peer));
	} catch (error) {
		await peer.close().catch(() => void 0);
		throw error;
	}
}
const DISCOVER_TIMEOUT = 1e4;
async function greet$1(peer, greeting, timeout, first) {
	if (first === "modern") try {
		return await discover$1(peer, greeting, Math.min(timeout, DISCOVER_TIMEOUT));
	} catch (error) {
		if (faultOf$1(error).code === CODE.unavailable) throw error;
		return initialize$1(peer, greeting, timeout);
	}
	try {
		return await initialize$1(peer, greeting, timeout);
	} catch (error) {
		if (!REFUSED.has(faultOf$1(error).code)) throw error;
		return discover$1(peer, greeting, timeout);
	}
}
const REFUSED = new Set([
	CODE.method,
	CODE.version,
	CODE.params,
	CODE.request
]);
async function initialize$1(peer, greeting, timeout) {
	const said = await peer.ask("initialize", {
		protocolVersion: LEGACY,
		...greeting
	}, timeout);
	peer.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	return hello("legacy", said, said.serverInfo);
}
async function discover$1(peer, greeting, timeout) {
	const said = await peer.ask("server/discover", { _meta: envelope(greeting) }, timeout);
	if (!Array.isArray(said.supportedVersions) || !said.supportedVersions.includes("2026-07-28")) throw new RpcError({
		code: CODE.version,
		message: `It doesn’t speak ${MODERN}`
	});
	return hello("modern", said, metaOf(said)?.[META.server]);
}
function envelope({ clientInfo, capabilities }) {
	return {
		[META.version]: MODERN,
		[META.client]: clientInfo,
		[META.capabilities]: capabilities
	};
}
function hello(generation, said, serverInfo) {
	return {
		generation,
		capabilities: isObject(said.capabilities) ? said.capabilities : {},
		serverInfo: isObject(serverInfo) ? serverInfo : {
			name: "unknown",
			version: "0"
		},
		instructions: typeof said.instructions === "string" ? said.instructions : void 0
	};
}
function read(line, resolve, reject) {
	try {
		const { result, error } = JSON.parse(line.toString("utf8"));
		if (isObject(result)) {
			resolve(result);
			return;
		}
		const fault = isObject(error) ? error : {};
		reject(new RpcError({
			code: typeof fault.code === "number" ? fault.code : CODE.internal,
			message: typeof fault.message === "string" ? fault.message : "The server answered without a result",
			data: fault.data
		}));
	} catch {
		reject(new RpcError({
			code: CODE.internal,
			message: "The server answered with something that is not JSON"
		}));
	}
}
// gateway/backend.ts
const BACKEND_LIMITS = {
	concurrent: 256,
	queued: 1024,
	start: 6e4
};
const BREAKER = 3;
const PATIENCE$1 = 1e4;
function backend(options) {
	const { name, limits, say } = options;
	let peer;
	let failures = 0;
	let trouble;
	let retryAt = 0;
	let closed = false;
	let first = options.first;
	let held = false;
	const queue = [];
	const keeper = keep({
		async start() {
			const events = {
				...options.events,
				onSettled
			};
			const up = await connect$1(options.open, options.greeting, events, limits.start, first).catch((error) => {
				first = "legacy";
				throw error;
			});
			return {
				up,
				ended: up.ended,
				stop: () => up.close()
			};
		},
		ping: (up) => ping(up, { ...options.timing }.pingTimeout ?? 1e4),
		onEvent,
		...options.timing ? { timing: options.timing } : {}
	});
	function onEvent(event) {
		switch (event.kind) {
			case "up": return;
			case "waiting":
				retryAt = Date.now() + event.milliseconds;
				return;
			case "start-failed":
				failed(`could not be started: ${event.error instanceof Error ? event.error.message : String(event.error)}`);
				return;
			case "ended":
				peer = void 0;
				if (event.reason === "stopped" || event.reason === "idle") return;
				failed(event.reason === "unhealthy" ? "no longer answered" : trouble ?? "ended");
		}
	}
	function failed(why) {
		if (closed || held) return;
		failures += 1;
		trouble = why;
		say(`${name}: ${why}`);
		options.onDown?.(why);
		if (options.warm) setImmediate(() => void use().catch(() => void 0));
	}
	async function begin() {
		const up = await keeper.use();
		if (peer === up) return up;
		peer = up;
		const since = Date.now();
		up.ended.then((why) => {
			if (peer === up) peer = void 0;
			trouble = why;
			if (Date.now() - since > 3e4) failures = 0;
		});
		trouble = void 0;
		options.onUp?.(up);
		onSettled();
		return up;
	}
	async function use() {
		if (held) throw new RpcError({
			code: CODE.unavailable,
			message: `The server ${name} was stopped by its operator`
		});
		if (keeper.state() === "waiting" && failures >= BREAKER) throw new RpcError(down());
		const patience = failures === 0 ? limits.start : PATIENCE$1;
		let timer;
		const late = new Promise((_resolve, reject) => {
			timer = setTimeout(() => reject(new RpcError(down())), patience);
		});
		try {
			return await Promise.race([begin(), late]);
		} catch (error) {
			throw error instanceof RpcError ? error : new RpcError(down());
		} finally {
			clearTimeout(timer);
		}
	}
	function down() {
		const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1e3));
		return {
			code: CODE.unavailable,
			message: `The server ${name} is not running${trouble ? `: ${trouble}` : ""}`,
			data: { retryAfter: seconds }
		};
	}
	function onSettled() {
		while (queue.length > 0 && peer && peer.waiting < limits.concurrent) {
			const waiting = queue.shift();
			waiting.id = peer.request(waiting.write, waiting.caller);
			waiting.peer = peer;
		}
	}
	const idle = options.timing?.idle ?? 0;
	const busy = idle > 0 ? setInterval(() => void (peer?.waiting && keeper.use()), Math.max(20, idle / 4)) : void 0;
	busy?.unref();
	if (options.warm) use().catch(() => void 0);
	return {
		state() {
			if (closed) return "closed";
			if (held) return "held";
			if (peer) return "up";
			if (failures > 0) return "failing";
			return keeper.state() === "starting" ? "starting" : "stopped";
		},
		trouble: () => peer ? void 0 : trouble,
		current: () => peer,
		use,
		call(write, caller) {
			if (idle > 0 && peer) keeper.use().catch(() => void 0);
			const up = peer;
			if (up && up.waiting < limits.concurrent && queue.length === 0) {
				const id = up.request(write, caller);
				return { cancel: (reason) => up.cancel(id, reason) };
			}
			if (queue.length >= limits.queued) {
				const fault = {
					code: CODE.busy,
					message: `${queue.length} requests are waiting for the server ${name} already`
				};
				queueMicrotask(() => caller.fail(fault));
				return { cancel: () => void 0 };
			}
			const waiting = {
				write,
				caller,
				id: void 0,
				peer: void 0
			};
			queue.push(waiting);
			const leave = () => {
				const at = queue.indexOf(waiting);
				if (at >= 0) queue.splice(at, 1);
				return at >= 0;
			};
			if (!up) use().catch((error) => {
				if (leave()) caller.fail(faultOf$1(error));
			});
			return { cancel(reason) {
				if (!leave() && waiting.id !== void 0) waiting.peer?.cancel(waiting.id, reason);
			} };
		},
		async hold() {
			held = true;
			await peer?.close();
			peer = void 0;
		},
		release() {
			if (!held) return;
			held = false;
			failures = 0;
			trouble = void 0;
			if (options.warm) use().catch(() => void 0);
		},
		async close() {
			closed = true;
			clearInterval(busy);
			for (const { caller } of queue.splice(0)) caller.fail({
				code: CODE.unavailable,
				message: `The server ${name} was stopped`
			});
			await keeper.close();
			peer = void 0;
		}
	};
}
const NOBODY$1 = {
	clientInfo: {
		name: "mcp-build-gateway",
		version: "1"
	},
	capabilities: {}
};
async function ping(peer, timeout) {
	try {
		await (peer.hello.generation === "legacy" ? peer.ask("ping", {}, timeout) : peer.ask("server/discover", { _meta: envelope(NOBODY$1) }, timeout));
	} catch (error) {
		const { code } = faultOf$1(error);
		if (code === CODE.timeout || code === CODE.unavailable) throw error;
	}
}
// gateway/tracing/context.ts
const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
const LONGEST_STATE = 512;
function readContext(parent, state) {
	const match = typeof parent === "string" && parent.length <= 200 ? PARENT.exec(parent) : null;
	if (!match) return void 0;
	const [whole, version = "", trace = "", span = "", flags = ""] = match;
	if (version === "ff" || version === "00" && whole.length !== parent.length) return void 0;
	if (/^0+$/.test(trace) || /^0+$/.test(span)) return void 0;
	const kept = typeof state === "string" && state !== "" && state.length <= LONGEST_STATE && /^[\x20-\x7e]*$/.test(state);
	return {
		trace,
		span,
		sampled: (Number.parseInt(flags, 16) & 1) === 1,
		state: kept ? state : void 0
	};
}
Buffer.alloc(0);
function withMeta(text, values) {
	const json = (names) => names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(values[name])}`).join(",");
	const all = Object.keys(values);
	const params = outline(text, text.indexOf("{"))?.get("params");
	if (!params) {
		const end = text.lastIndexOf("}");
		return `${text.slice(0, end)},"params":{"_meta":{${json(all)}}}${text.slice(end)}`;
	}
	const inner = outline(text, params.start);
	const meta = inner?.get("_meta");
	if (!inner || !meta) return inserted(text, params.start, `"_meta":{${json(all)}}`, (inner?.size ?? 0) > 0);
	const members = outline(text, meta.start);
	if (!members || text[meta.start] !== "{") return text;
	const changed = splice(text, all.flatMap((name) => {
		const span = members.get(name);
		return span ? [[span, JSON.stringify(values[name])]] : [];
	}).sort(([a], [b]) => a.start - b.start));
	const missing = all.filter((name) => !members.has(name));
	return missing.length === 0 ? changed : inserted(changed, meta.start, json(missing), members.size > 0);
}
function inserted(text, at, members, more) {
	return `${text.slice(0, at + 1)}${members}${more ? "," : ""}${text.slice(at + 1)}`;
}
function metaFromHeaders(headers, params) {
	if (isObject(params?._meta) && params._meta.traceparent !== void 0) return void 0;
	const found = readContext(headers.traceparent, headers.tracestate);
	if (!found) return void 0;
	return {
		traceparent: String(headers.traceparent),
		...found.state === void 0 ? {} : { tracestate: found.state }
	};
}
// gateway/http/body.ts
const JOINED = 1048576;
let joined;
const EMPTY$1 = Buffer.alloc(0);
function readBody(request, limit, use) {
	const declared = request.headers["content-length"];
	if (declared !== void 0 && Number(declared) > limit) return Promise.resolve("too-large");
	let waiting = Promise.withResolvers();
	const { promise } = waiting;
	let first;
	let more;
	let length = 0;
	const done = (settle) => {
		const settled = waiting;
		waiting = void 0;
		first = void 0;
		more = void 0;
		if (settled) settle(settled);
	};
	request.on("data", (chunk) => {
		if (!waiting) return;
		length += chunk.length;
		if (length > limit) {
			request.pause();
			return done(({ resolve }) => resolve("too-large"));
		}
		if (!first) first = chunk;
		else if (more) more.push(chunk);
		else more = [first, chunk];
	});
	request.once("end", () => {
		const body = more ? join(more, length) : first ?? EMPTY$1;
		done(({ resolve, reject }) => {
			try {
				resolve(use(body));
			} catch (error) {
				reject(error);
			}
		});
	});
	const gone = () => done(({ resolve }) => resolve("gone"));
	request.once("error", gone);
	request.once("close", gone);
	return promise;
}
function join(pieces, length) {
	if (length > JOINED) return Buffer.concat(pieces, length);
	joined ??= Buffer.allocUnsafeSlow(JOINED);
	let at = 0;
	for (const piece of pieces) at += piece.copy(joined, at);
	return joined.subarray(0, length);
}
const ANYBODY = {
	id: "anybody",
	name: "anybody",
	expires: void 0,
	servers: void 0,
	tools: void 0,
	powers: new Map([["call", void 0]])
};
function mayCall(identity, server, tool) {
	const { tools } = identity;
	return tools === void 0 || tools.has(`${server}/${tool}`) || tools.has(`${server}/*`);
}
// gateway/http/reply.ts
function sendJson(response, status, body, headers) {
	if (response.headersSent || response.destroyed) return;
	const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
	response.writeHead(status, {
		"content-type": "application/json",
		"content-length": length,
		...headers
	});
	response.end(body);
}
function sendFault(response, status, fault, id = "null", headers) {
	sendJson(response, status, faultText(id, fault), headers);
}
function refuse(response, status, message, headers) {
	sendFault(response, status, {
		code: CODE.forbidden,
		message
	}, "null", headers);
}
function accepted(response) {
	if (response.headersSent || response.destroyed) return;
	response.writeHead(202, { "content-length": 0 });
	response.end();
}
function statusOf({ code }) {
	switch (code) {
		case CODE.parse:
		case CODE.request:
		case CODE.header:
		case CODE.version: return 400;
		case CODE.busy: return 429;
		default: return 200;
	}
}
// gateway/http/metadata.ts
const WELL_KNOWN = "/.well-known/oauth-protected-resource";
function metadataPath(path) {
	if (path === WELL_KNOWN) return "";
	return path.startsWith(`${WELL_KNOWN}/`) ? path.slice(37).replace(/\/$/, "") : void 0;
}
// gateway/http/door.ts
function isRefused(value) {
	return "status" in value;
}
({ ...ANYBODY });
// gateway/translate.ts
function fromLegacy(request, id, generation, greeting) {
	if (generation === "legacy") return renumber(request, id);
	const { method, params } = request;
	const meta = {
		...metaOf(params),
		...envelope(greeting),
		...request.tokenSpan ? { progressToken: id } : {}
	};
	return JSON.stringify({
		jsonrpc: "2.0",
		id,
		method,
		params: {
			...params,
			_meta: meta
		}
	});
}
function fromModern(request, id, generation) {
	if (generation === "modern") return renumber(request, id);
	const rest = Object.entries(metaOf(request.params) ?? {}).filter(([name]) => !OWN$2.has(name));
	const meta = Object.fromEntries(rest.map(([name, value]) => [name, name === "progressToken" ? id : value]));
	return renumber(request, id, JSON.stringify(meta));
}
const OWN$2 = new Set([
	META.version,
	META.client,
	META.capabilities,
	META.log
]);
const CACHED = new Set([
	"tools/list",
	"prompts/list",
	"resources/list",
	"resources/templates/list",
	"resources/read"
]);
function toModern(answer, method, hello) {
	if (hello.generation === "modern") return answer;
	const text = answer.toString("latin1");
	const result = outline(text, text.indexOf("{"))?.get("result");
	if (!result || text[result.start] !== "{") return answer;
	const inside = outline(text, result.start) ?? new Map();
	const added = [];
	const add = (name, value) => {
		if (!inside.has(name)) added.push(`"${name}":${value}`);
	};
	add("resultType", "\"complete\"");
	if (CACHED.has(method)) {
		add("ttlMs", "0");
		add("cacheScope", "\"private\"");
	}
	add("_meta", latin1(JSON.stringify({ [META.server]: hello.serverInfo })));
	if (added.length === 0) return answer;
	const comma = inside.size > 0 ? "," : "";
	const brace = {
		start: result.start,
		end: result.start + 1
	};
	return Buffer.from(splice(text, [[brace, `{${added.join(",")}${comma}`]]), "latin1");
}
function latin1(text) {
	return Buffer.from(text).toString("latin1");
}
function modernCapabilities(capabilities) {
	const { tasks: _tasks, ...rest } = capabilities;
	return isObject(rest) ? rest : {};
}
// gateway/http/input.ts
const MOST_REQUESTS = 32;
const NEEDED = {
	"elicitation/create": "elicitation",
	"sampling/createMessage": "sampling",
	"roots/list": "roots"
};
function inputRequired({ line, failed }) {
	if (failed || !line.includes("\"input_required\"")) return void 0;
	const { result } = JSON.parse(line.toString("utf8"));
	if (!isObject(result) || result.resultType !== "input_required") return void 0;
	return {
		requests: isObject(result.inputRequests) ? result.inputRequests : {},
		state: result.requestState
	};
}
async function withInput(session, request, { requests, state }, deliver) {
	const wishes = Object.entries(requests);
	if (wishes.length > MOST_REQUESTS) throw cantAsk("too many things at once");
	const answers = await Promise.all(wishes.map(async ([key, wish]) => {
		const method = isObject(wish) && typeof wish.method === "string" ? wish.method : "";
		const needed = Object.hasOwn(NEEDED, method) ? NEEDED[method] : void 0;
		if (!isObject(wish) || needed === void 0) throw cantAsk(method);
		if (session.greeting.capabilities[needed] === void 0) throw cantAsk(`${needed}, which this client can’t give`);
		return [key, await session.ask(method, isObject(wish.params) ? wish.params : {}, deliver)];
	}));
	return {
		...request.params,
		inputResponses: Object.fromEntries(answers),
		...state === void 0 ? {} : { requestState: state }
	};
}
function cantAsk(what) {
	return new RpcError({
		code: CODE.internal,
		message: `The server asks for ${what}`
	});
}
// gateway/http/result.ts
function shown(answer, id, method, service, identity) {
	const whole = withId(answer, id);
	if (method !== "tools/list" || answer.failed || service.offersAll(identity)) return whole;
	const message = JSON.parse(whole.toString("utf8"));
	if (!isObject(message.result) || !Array.isArray(message.result.tools)) return whole;
	const tools = service.offered(identity, message.result.tools);
	return Buffer.from(JSON.stringify({
		...message,
		result: {
			...message.result,
			tools
		}
	}));
}
// gateway/http/stream.ts
const MOST_UNREAD = 16777216;
const KEPT_BYTES = 1048576;
const KEPT_EVENTS = 256;
const EVENT_STREAM = {
	"content-type": "text/event-stream",
	"cache-control": "no-cache, no-transform",
	"x-accel-buffering": "no"
};
const open$1 = new Set();
let beat;
function openEvents(response, headers = {}) {
	response.writeHead(200, {
		...EVENT_STREAM,
		...headers
	});
	response.flushHeaders();
	open$1.add(response);
	beat ??= setInterval(() => {
		for (const each of open$1) each.write(": \n\n");
	}, 2e4).unref();
	response.once("close", () => {
		open$1.delete(response);
		if (open$1.size > 0) return;
		clearInterval(beat);
		beat = void 0;
	});
}
function writeEvent(response, head, data) {
	if (response.destroyed || response.writableEnded) return false;
	if (response.writableLength > MOST_UNREAD) {
		response.destroy();
		return false;
	}
	if (typeof data === "string") response.write(`${head}data: ${data}\n\n`);
	else response.write(Buffer.concat([
		Buffer.from(`${head}data: `),
		data,
		Buffer.from("\n\n")
	]));
	return true;
}
function stream(id, primed) {
	let response;
	let kept = [];
	let bytes = 0;
	let seq = 0;
	let ended = false;
	const keepEvent = (message) => {
		seq += 1;
		kept.push({
			seq,
			message
		});
		bytes += message.length;
		while (kept.length > KEPT_EVENTS || bytes > KEPT_BYTES && kept.length > 1) bytes -= kept.shift()?.message.length ?? 0;
	};
	const write = (number, message) => {
		if (response && !writeEvent(response, `id: ${id}-${number}\nevent: message\n`, message)) response = void 0;
	};
	return {
		id,
		get ended() {
			return ended;
		},
		get attached() {
			return response !== void 0 && !response.destroyed;
		},
		send(message) {
			if (ended) return;
			keepEvent(message);
			write(seq, message);
		},
		end(last) {
			if (ended) return;
			if (last !== void 0) this.send(last);
			ended = true;
			response?.end();
		},
		attach(to, after) {
			response?.end();
			response = to;
			to.once("close", () => {
				if (response === to) response = void 0;
			});
			if (primed && after === 0) writeEvent(to, `id: ${id}-0\nretry: 1000\n`, "");
			kept = kept.filter((event) => event.seq > after);
			bytes = kept.reduce((sum, { message }) => sum + message.length, 0);
			for (const event of kept) write(event.seq, event.message);
			if (ended) to.end();
		},
		cut() {
			response?.end();
			response = void 0;
		}
	};
}
// gateway/http/watch.ts
const EVERY = 250;
const all = new Set();
let timer;
function watch(pending) {
	all.add(pending);
	timer ??= setInterval(tick, EVERY).unref();
}
function unwatch(pending) {
	all.delete(pending);
}
function tick() {
	if (all.size === 0) {
		clearInterval(timer);
		timer = void 0;
		return;
	}
	const now = performance.now();
	for (const pending of all) pending.waited(now - pending.since);
}
// gateway/http/call.ts
const STREAM_AFTER$1 = 5e3;
function callForSession(service, session, request, way) {
	const { id, method } = request;
	const { response } = way;
	if (session.calls.has(id)) {
		sendFault(response, 400, {
			code: CODE.request,
			message: `A request with the id ${id.slice(0, 80)} is being worked on already`
		}, id);
		return;
	}
	const instead = service.instead(session, request);
	const held = { request };
	const token = tokenOf(request);
	let stream = way.kind === "stream" ? way.stream : void 0;
	let over = false;
	const begin = () => {
		stream = session.streams.add();
		openEvents(response);
		stream.attach(response, 0);
	};
	const end = (body, status) => {
		if (over) return;
		over = true;
		unwatch(pending);
		session.calls.delete(id);
		if (way.kind === "stream") return way.stream.send(body);
		if (!stream && !way.json) begin();
		if (stream) return stream.end(body);
		sendJson(response, status, body);
	};
	const fail = (fault) => end(faultText(id, fault), statusOf(fault));
	const pending = {
		since: performance.now(),
		waited(milliseconds) {
			if (service.timeout > 0 && milliseconds > service.timeout) {
				handle.cancel("timeout");
				fail({
					code: CODE.timeout,
					message: `The server gave no answer within ${service.timeout} ms`
				});
			} else if (!stream && milliseconds > STREAM_AFTER$1 && way.kind === "response" && way.events) begin();
		}
	};
	const notice = (text) => {
		if (!stream) {
			if (way.kind !== "response" || !way.events || response.destroyed) return false;
			begin();
		}
		stream?.send(text);
		return true;
	};
	if (way.kind === "stream") accepted(response);
	if (instead !== void 0) {
		end(instead, 200);
		return;
	}
	watch(pending);
	const caller = {
		answer(answer) {
			const wanted = held.request && session.backend.current()?.hello.generation === "modern" ? inputRequired(answer) : void 0;
			if (held.request && wanted) again(held.request, wanted);
			else end(shown(answer, id, method, service, session.identity), 200);
		},
		fail,
		progress(params) {
			if (token === void 0) return;
			const told = {
				...params,
				progressToken: token
			};
			notice(JSON.stringify({
				jsonrpc: "2.0",
				method: "notifications/progress",
				params: told
			}));
		}
	};
	const ask = (once) => {
		const write = (own, generation) => {
			const text = fromLegacy(once.request, own, generation, session.greeting);
			if (generation === "legacy") once.request = void 0;
			return text;
		};
		return service.call(session.identity, session.backend, once.request, write, caller);
	};
	let rounds = 0;
	const again = (first, wanted) => {
		rounds += 1;
		withInput(session, first, wanted, (text) => {
			if (!notice(text)) session.deliver(text);
		}).then((params) => {
			if (over) return;
			if (rounds <= 8) handle = ask({ request: {
				...first,
				params
			} });
			else fail({
				code: CODE.internal,
				message: `The server asked for input ${rounds} times`
			});
		}, (error) => fail(faultOf$1(error)));
	};
	let handle = ask(held);
	if (!over) session.calls.set(id, {
		cancel: (reason) => handle.cancel(reason),
		notice,
		fail
	});
}
// gateway/http/streamable.ts
const REVISIONS = [
	LEGACY,
	"2025-06-18",
	"2025-03-26",
	"2024-11-05"
];
async function postLegacy(exchange, message) {
	const { request, response, service, identity } = exchange;
	if (message.kind === "request" && message.method === "initialize") return initialize(exchange, message);
	const session = sessionOf(exchange);
	if (!session) return;
	const said = request.headers["mcp-protocol-version"];
	if (said !== void 0 && !REVISIONS.includes(said)) return sendFault(response, 400, {
		code: CODE.version,
		message: `Protocol revision ${String(said)} is not known`,
		data: { supported: REVISIONS }
	});
	if (message.kind === "request") {
		const accept = request.headers.accept ?? "*/*";
		const events = accept.includes("text/event-stream");
		return callForSession(service, session, message, {
			kind: "response",
			response,
			events,
			json: !events || accept.includes("application/json") || accept.includes("*/*")
		});
	}
	take(service, session, message, identity);
	accepted(response);
}
function getLegacy(exchange) {
	const { request, response } = exchange;
	const session = sessionOf(exchange);
	if (!session) return;
	const last = request.headers["last-event-id"];
	if (!(request.headers.accept ?? "").includes("text/event-stream")) refuse(response, 406, "GET opens a stream of events: accept text/event-stream");
	else if (typeof last === "string" && last !== "") resume(session, response, last);
	else if (session.streams.find(0)?.attached) refuse(response, 409, "This session has such a stream already");
	else {
		openEvents(response);
		session.streams.alone().attach(response, 0);
	}
}
function resume(session, response, last) {
	const [, stream, event] = /^(\d{1,9})-(\d{1,9})$/.exec(last) ?? [];
	const found = stream === void 0 ? void 0 : session.streams.find(Number(stream));
	if (!found) {
		refuse(response, 404, "That stream is not kept any more");
		return;
	}
	openEvents(response);
	found.attach(response, Number(event));
}
function deleteLegacy(exchange) {
	const session = sessionOf(exchange);
	if (!session) return;
	session.close();
	exchange.response.writeHead(204);
	exchange.response.end();
}
async function initialize({ response, service, identity }, message) {
	try {
		const { session, result } = await greet(service, identity, message.params);
		const body = `{"jsonrpc":"2.0","id":${message.id},"result":${JSON.stringify(result)}}`;
		if (response.destroyed) return session.close();
		sendJson(response, 200, body, { "mcp-session-id": session.id });
	} catch (error) {
		const fault = faultOf$1(error);
		sendFault(response, statusOf(fault), fault, message.id);
	}
}
async function greet(service, identity, params, direct) {
	const asked = params?.protocolVersion;
	const version = REVISIONS.find((revision) => revision === asked) ?? "2025-11-25";
	const clientInfo = isObject(params?.clientInfo) ? params.clientInfo : {
		name: "unknown",
		version: "0"
	};
	const capabilities = isObject(params?.capabilities) ? params.capabilities : {};
	const session = await service.open(identity, {
		clientInfo,
		capabilities
	}, version, direct);
	const hello = session.own ? (await session.backend.use()).hello : await service.hello(identity);
	const { instructions } = hello;
	return {
		session,
		result: {
			protocolVersion: version,
			capabilities: hello.capabilities,
			serverInfo: hello.serverInfo,
			...instructions === void 0 ? {} : { instructions }
		}
	};
}
function take(service, session, message, identity) {
	if (message.kind === "response") {
		if (session.settle(message.id, message.text)) return;
		if (session.own && session.asked.delete(message.id)) session.backend.current()?.send(message.text);
		return;
	}
	if (message.kind !== "notification") return;
	switch (message.method) {
		case "notifications/cancelled": {
			const id = JSON.stringify(message.params?.requestId);
			const call = session.calls.get(id);
			call?.cancel(typeof message.params?.reason === "string" ? message.params.reason : void 0);
			call?.fail({
				code: CODE.timeout,
				message: "The request was cancelled"
			});
			return;
		}
		case "notifications/initialized": return;
		default: if (session.own && service.refuses(identity, message.method, message.params) === void 0) session.backend.current()?.send(message.text);
	}
}
function sessionOf({ request, response, service, identity }) {
	const id = request.headers["mcp-session-id"];
	if (typeof id !== "string") {
		refuse(response, 400, "Mcp-Session-Id is missing: begin with initialize");
		return;
	}
	const session = service.find(id, identity);
	if (!session) refuse(response, 404, "There is no such session: begin again with initialize");
	return session;
}
// gateway/http/events.ts
const MOST$3 = 1e4;
function listeners(newId) {
	const all = new Map();
	return {
		get(exchange, endpoint) {
			const { response } = exchange;
			if (all.size >= MOST$3) return refuse(response, 503, "Too many clients listen already");
			const id = newId();
			openEvents(response);
			writeEvent(response, "event: endpoint\n", `${endpoint}?sessionId=${id}`);
			const listener = {
				exchange,
				stream: plain(response),
				session: void 0
			};
			all.set(id, listener);
			response.once("close", () => {
				all.delete(id);
				listener.session?.close();
			});
		},
		async post({ response, service, identity }, id, message) {
			const listener = all.get(id);
			const mine = listener?.exchange.identity.id === identity.id && listener.exchange.service === service;
			if (!listener || !mine) return refuse(response, 404, "There is no such session: open the stream again");
			const { stream } = listener;
			if (message.kind === "request" && message.method === "initialize" && !listener.session) {
				accepted(response);
				try {
					const { session, result } = await greet(service, identity, message.params, (text) => stream.send(text));
					if (!all.has(id)) return session.close();
					listener.session = session;
					stream.send(`{"jsonrpc":"2.0","id":${message.id},"result":${JSON.stringify(result)}}`);
				} catch (error) {
					stream.send(faultText(message.id, faultOf$1(error)));
				}
				return;
			}
			const { session } = listener;
			if (!session) return refuse(response, 400, "Begin with initialize");
			session.used = Date.now();
			session.identity = identity;
			if (message.kind === "request") return callForSession(service, session, message, {
				kind: "stream",
				response,
				stream
			});
			take(service, session, message, identity);
			accepted(response);
		}
	};
}
function plain(response) {
	return {
		id: 0,
		get ended() {
			return response.writableEnded;
		},
		get attached() {
			return !response.destroyed;
		},
		send: (message) => void writeEvent(response, "event: message\n", message),
		end() {
			response.end();
		},
		attach: () => void 0,
		cut: () => void response.end()
	};
}
// gateway/http/guard.ts
const OWN$1 = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
const EXPOSED = "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After";
const ALLOWED = "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name";
function guard(options) {
	const hosts = new Set(options.hosts.map((host) => host.toLowerCase()));
	const origins = new Set(options.origins.map((origin) => origin.toLowerCase().replace(/\/$/, "")));
	return (request, response) => {
		const { host, origin } = request.headers;
		if (!options.anyHost && !hosts.has("*")) {
			const name = (host ?? "").replace(/:\d*$/, "").toLowerCase();
			if (!OWN$1.test(name) && !hosts.has(name)) return `Host "${printed(host)}" is not one of this gateway’s`;
		}
		if (origin === void 0) return void 0;
		if (!(origin.replace(/^https?:\/\//, "").toLowerCase() === host?.toLowerCase()) && !origins.has("*") && !origins.has(origin.toLowerCase())) return `Pages of ${printed(origin)} may not use this gateway`;
		response.setHeader("access-control-allow-origin", origin);
		response.setHeader("vary", "Origin");
		response.setHeader("access-control-expose-headers", EXPOSED);
	};
}
function preflight(request, response) {
	const params = String(request.headers["access-control-request-headers"] ?? "").toLowerCase().split(/[\s,]+/).filter((name) => /^mcp-param-[\w!#$%&'*+.^`|~-]{1,200}$/.test(name));
	response.writeHead(204, {
		"access-control-allow-methods": "GET, POST, DELETE",
		"access-control-allow-headers": [ALLOWED, ...params].join(", "),
		"access-control-max-age": "600"
	});
	response.end();
}
function printed(text) {
	return (text ?? "").slice(0, 100);
}
// gateway/rpc/mirrored.ts
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/;
const KINDS = new Set([
	"string",
	"integer",
	"boolean"
]);
const DEEPEST = 16;
const MOST$2 = 64;
function mirroredOf(inputSchema) {
	const found = [];
	const names = new Set();
	let broken = false;
	const walk = (schema, path) => {
		if (!isObject(schema) || path.length > DEEPEST || broken) return;
		const name = schema["x-mcp-header"];
		if (name !== void 0) {
			const header = typeof name === "string" && TOKEN.test(name) ? `mcp-param-${name.toLowerCase()}` : void 0;
			if (header === void 0 || names.has(header) || path.length === 0 || !KINDS.has(schema.type)) {
				broken = true;
				return;
			}
			names.add(header);
			found.push({
				header,
				path
			});
			if (found.length > MOST$2) broken = true;
		}
		if (!isObject(schema.properties)) return;
		for (const [key, inner] of Object.entries(schema.properties)) walk(inner, [...path, key]);
	};
	walk(inputSchema, []);
	return broken ? [] : found;
}
function mirroredValue(given, path) {
	let value = given;
	for (const key of path) {
		if (!isObject(value) || !Object.hasOwn(value, key)) return void 0;
		value = value[key];
	}
	return value ?? void 0;
}
function decodedValue(header) {
	const match = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(header);
	if (!match) return header.startsWith("=?base64?") || /[^\t -~]/.test(header) ? void 0 : header;
	const bytes = Buffer.from(match[1], "base64");
	const text = bytes.toString("utf8");
	return bytes.toString("base64") === match[1] && Buffer.from(text).equals(bytes) ? text : void 0;
}
// gateway/http/headers.ts
const NAMED = {
	"tools/call": "name",
	"prompts/get": "name",
	"resources/read": "uri",
	"tasks/get": "taskId",
	"tasks/update": "taskId",
	"tasks/cancel": "taskId"
};
const isModern = (version) => typeof version === "string" && /^\d{4}-\d{2}-\d{2}$/.test(version) && version >= "2026-07-28";
function speaksModern(headers, message) {
	if (message.kind === "response") return false;
	const claimed = metaOf(message.params)?.[META.version];
	if (claimed !== void 0) return message.method !== "initialize" || isModern(claimed);
	return message.method !== "initialize" && isModern(headers["mcp-protocol-version"]);
}
function checkModern(headers, message) {
	if (message.kind === "response") return {
		code: CODE.request,
		message: "This revision has no answers of clients"
	};
	const { method, params } = message;
	const meta = metaOf(params) ?? {};
	const version = meta[META.version];
	if (message.kind === "request") {
		const missing = [META.version, META.capabilities].filter((key) => meta[key] === void 0);
		if (missing.length > 0) return {
			code: CODE.params,
			message: `params._meta lacks ${missing.join(" and ")}`,
			data: { missing }
		};
		if (typeof version !== "string" || !isObject(meta[META.capabilities])) return {
			code: CODE.params,
			message: "params._meta holds a version or capabilities of a wrong kind"
		};
	}
	const header = headers["mcp-protocol-version"];
	if (header === void 0) return mismatch("MCP-Protocol-Version", "the header is missing");
	if (version !== void 0 && header !== version) return mismatch("MCP-Protocol-Version", `the body says ${String(version)}`);
	if (header !== "2026-07-28") {
		const data = {
			supported: [MODERN],
			requested: header
		};
		return {
			code: CODE.version,
			message: `Protocol revision ${String(header)} is not known`,
			data
		};
	}
	const named = headers["mcp-method"];
	if (named === void 0) return mismatch("Mcp-Method", "the header is missing");
	if (named !== method) return mismatch("Mcp-Method", `the body says ${method}`);
	return checkName(headers["mcp-name"], method, params);
}
function checkName(header, method, params) {
	const field = Object.hasOwn(NAMED, method) ? NAMED[method] : void 0;
	const value = field === void 0 ? void 0 : params?.[field];
	if (typeof value !== "string") return void 0;
	if (typeof header !== "string") return mismatch("Mcp-Name", "the header is missing");
	const plain = decodedValue(header);
	if (plain === value) return void 0;
	return mismatch("Mcp-Name", plain === void 0 ? "it is not valid Base64 of UTF-8" : `the body says ${value}`);
}
function checkMirrored(headers, mirrored, params) {
	for (const { header, path } of mirrored) {
		const value = mirroredValue(params?.arguments, path);
		const said = headers[header];
		if (value === void 0 && said === void 0) continue;
		if (value === void 0) return mismatch(header, "the body has no such parameter");
		if (typeof said !== "string") return mismatch(header, "the header is missing");
		const plain = decodedValue(said);
		if (plain === void 0) return mismatch(header, "it is neither visible ASCII nor Base64 of UTF-8");
		if (!(typeof value === "number" ? /^-?\d+(?:\.\d+)?$/.test(plain) && Number(plain) === value : plain === String(value))) return mismatch(header, `the parameter ${path.join(".")} is another`);
	}
}
function mismatch(header, why) {
	return {
		code: CODE.header,
		message: `Header ${header} disagrees with the body: ${why}`,
		data: { header }
	};
}
// gateway/http/listen.ts
const MOST$1 = 1e3;
const LISTS = {
	toolsListChanged: ["tools", "notifications/tools/list_changed"],
	promptsListChanged: ["prompts", "notifications/prompts/list_changed"],
	resourcesListChanged: ["resources", "notifications/resources/list_changed"]
};
async function listen({ response, service, identity }, request) {
	const wanted = request.params?.notifications;
	const uris = isObject(wanted) ? wanted.resourceSubscriptions ?? [] : void 0;
	if (!isObject(wanted) || !Array.isArray(uris) || uris.length > MOST$1 || uris.some((uri) => typeof uri !== "string")) return sendFault(response, 200, {
		code: CODE.params,
		message: `params.notifications is missing, of a wrong kind or longer than ${MOST$1}`
	}, request.id);
	let capabilities;
	try {
		({capabilities} = await service.hello(identity));
	} catch (error) {
		const fault = faultOf$1(error);
		return sendFault(response, statusOf(fault), fault, request.id);
	}
	const can = (name, what) => isObject(capabilities[name]) && capabilities[name][what] === true;
	const heard = new Set();
	const honored = {};
	for (const [field, [capability, method]] of Object.entries(LISTS)) {
		if (wanted[field] !== true || !can(capability, "listChanged")) continue;
		honored[field] = true;
		heard.add(method);
	}
	const subscribed = can("resources", "subscribe") ? uris : [];
	if (subscribed.length > 0) honored.resourceSubscriptions = subscribed;
	openEvents(response);
	const id = JSON.parse(request.id);
	const say = (method, params) => {
		const message = {
			jsonrpc: "2.0",
			method,
			params: {
				...params,
				_meta: { [META.subscription]: id }
			}
		};
		writeEvent(response, "event: message\n", JSON.stringify(message));
	};
	say("notifications/subscriptions/acknowledged", { notifications: honored });
	const watcher = { deliver: (text) => say("notifications/resources/updated", JSON.parse(text).params) };
	const subscriptions = service.subscriptionsOf(identity);
	const leave = subscriptions.follow((method) => {
		if (heard.has(method)) say(method, {});
	});
	for (const uri of subscribed) subscriptions.watch(watcher, uri);
	response.once("close", () => {
		leave();
		subscriptions.drop(watcher);
	});
}
// gateway/http/stateless.ts
const STREAM_AFTER = 5e3;
const GONE = new Set([
	"initialize",
	"ping",
	"logging/setLevel",
	"resources/subscribe",
	"resources/unsubscribe"
]);
async function postModern(exchange, message) {
	const { request, response, service, identity } = exchange;
	const wrong = checkModern(request.headers, message);
	const id = message.kind === "request" ? message.id : "null";
	if (wrong) return sendFault(response, 400, wrong, id);
	if (message.kind !== "request") return accepted(response);
	if (message.method === "server/discover") return discover(exchange, message);
	if (message.method === "subscriptions/listen") return listen(exchange, message);
	if (GONE.has(message.method)) return sendFault(response, 404, {
		code: CODE.method,
		message: `${message.method} is no method of ${MODERN}`
	}, id);
	const refused = service.refuses(identity, message.method, message.params);
	if (refused) return sendFault(response, 200, refused, id);
	if (message.method === "tools/call") {
		const known = service.mirrored(identity, message.params);
		const fault = checkMirrored(request.headers, known instanceof Promise ? await known : known, message.params);
		if (fault) return sendFault(response, 400, fault, id);
	}
	call(exchange, message);
}
async function discover({ response, service, identity }, { id }) {
	try {
		const hello = await service.hello(identity);
		const result = {
			resultType: "complete",
			supportedVersions: [MODERN],
			capabilities: modernCapabilities(hello.capabilities),
			...hello.instructions === void 0 ? {} : { instructions: hello.instructions },
			ttlMs: 0,
			cacheScope: "private",
			_meta: { [META.server]: hello.serverInfo }
		};
		sendJson(response, 200, `{"jsonrpc":"2.0","id":${id},"result":${JSON.stringify(result)}}`);
	} catch (error) {
		const fault = faultOf$1(error);
		sendFault(response, statusOf(fault), fault, id);
	}
}
function call({ request: { headers }, response, service, identity }, request) {
	const { id, method } = request;
	const accept = headers.accept ?? "*/*";
	const events = accept.includes("text/event-stream");
	const json = !events || accept.includes("application/json") || accept.includes("*/*");
	let streaming = false;
	let over = false;
	const begin = () => {
		if (streaming || response.destroyed) return;
		streaming = true;
		openEvents(response);
	};
	const end = (body, status) => {
		if (over) return;
		over = true;
		unwatch(pending);
		if (!json) begin();
		if (!streaming) return sendJson(response, status, body);
		writeEvent(response, "event: message\n", body);
		response.end();
	};
	const fail = (fault) => end(faultText(id, fault), statusOf(fault));
	const pending = {
		since: performance.now(),
		waited(milliseconds) {
			if (service.timeout > 0 && milliseconds > service.timeout) {
				handle.cancel("timeout");
				fail({
					code: CODE.timeout,
					message: `The server gave no answer within ${service.timeout} ms`
				});
			} else if (milliseconds > STREAM_AFTER && events) begin();
		}
	};
	watch(pending);
	const token = tokenOf(request);
	const once = { request };
	const write = (own, generation) => {
		const text = fromModern(once.request, own, generation);
		once.request = void 0;
		return text;
	};
	const handle = service.call(identity, service.common, request, write, {
		answer(answer) {
			const body = shown(answer, id, method, service, identity);
			if (answer.failed) return end(body, statusOfFailure(body));
			const hello = service.common.current()?.hello;
			end(hello ? toModern(body, method, hello) : body, 200);
		},
		fail,
		progress(params) {
			if (token === void 0 || !events) return;
			begin();
			const notification = {
				jsonrpc: "2.0",
				method: "notifications/progress",
				params: {
					...params,
					progressToken: token
				}
			};
			writeEvent(response, "event: message\n", JSON.stringify(notification));
		}
	});
	response.once("close", () => {
		if (over) return;
		over = true;
		unwatch(pending);
		handle.cancel("the client has gone");
	});
}
function statusOfFailure(body) {
	if (body.length > 4096) return 200;
	const { error } = JSON.parse(body.toString("utf8"));
	if (!isObject(error)) return 200;
	return error.code === CODE.method ? 404 : error.code === CODE.capability ? 400 : 200;
}
// gateway/http/front.ts
function front(options) {
	const older = listeners(() => randomBytes(16).toString("base64url"));
	async function handle(request, response) {
		const refused = options.guard()(request, response);
		if (refused !== void 0) return drop(request, response, 403, refused);
		const [path = "/", query = ""] = splitUrl(request.url ?? "/");
		if (path === "/_healthz" || path === "/_readyz") return health(options.health(), path, response);
		if (path.startsWith("/_") && options.pages?.(path, request, response, options.door())) return;
		const resource = metadataPath(path);
		if (resource !== void 0 && request.method === "OPTIONS") return preflight(request, response);
		if (resource !== void 0 && request.method === "GET" && options.metadata()?.(resource, response)) return;
		const route = routeOf(path, options.base(), (name) => options.service(name) !== void 0);
		const service = route && options.service(route.server);
		if (!route || !service) return drop(request, response, 404, "There is no such server here");
		if (request.method === "OPTIONS" && request.headers.origin !== void 0) return preflight(request, response);
		const entered = options.door().enter(request, route.server);
		const identity = entered instanceof Promise ? await entered : entered;
		if (isRefused(identity)) {
			options.observer?.incident({
				kind: "entry-refused",
				server: service.name,
				status: identity.status
			});
			return drop(request, response, identity.status, identity.why, refusalHeaders(identity));
		}
		await answer(route, {
			request,
			response,
			service,
			identity
		}, query);
	}
	async function answer({ kind, server }, exchange, query) {
		const { request, response } = exchange;
		if (kind === "sse" && request.method === "GET") return older.get(exchange, `${options.base()}${server === void 0 ? "" : `/${server}`}/message`);
		if (kind === "mcp" && request.method === "GET") return getLegacy(exchange);
		if (kind === "mcp" && request.method === "DELETE") return deleteLegacy(exchange);
		if (request.method !== "POST" || kind === "sse") {
			const allow = {
				mcp: "GET, POST, DELETE",
				sse: "GET",
				message: "POST"
			}[kind];
			return drop(request, response, 405, `${request.method} is not for this address`, { allow });
		}
		const read = await messageOf(request, response);
		if (!read) return;
		const message = options.observer?.trace ? traced(read, request.headers) : read;
		if (kind === "message") return older.post(exchange, new URLSearchParams(query).get("sessionId") ?? "", message);
		if (speaksModern(request.headers, message)) return postModern(exchange, message);
		return postLegacy(exchange, message);
	}
	async function messageOf(request, response) {
		const type = request.headers["content-type"];
		if (type === void 0 || !/^application\/json\s*(?:;|$)/i.test(type)) {
			drop(request, response, 415, "The body must be application/json");
			return;
		}
		try {
			const message = await readBody(request, options.maxBody(), readMessage);
			if (message === "gone") return void 0;
			if (message !== "too-large") return message;
			drop(request, response, 413, `A body may have ${options.maxBody()} bytes at most`);
		} catch (error) {
			sendFault(response, 400, faultOf$1(error));
		}
	}
	return (request, response) => {
		response.on("error", () => void 0);
		handle(request, response).catch((error) => {
			if (response.headersSent) response.destroy();
			else sendFault(response, 500, faultOf$1(error));
		});
	};
}
function traced(message, headers) {
	if (message.kind !== "request" || headers.traceparent === void 0) return message;
	const meta = metaFromHeaders(headers, message.params);
	return meta ? readMessage(Buffer.from(withMeta(message.text, meta))) : message;
}
function refusalHeaders({ challenge, retryAfter }) {
	return {
		...challenge === void 0 ? {} : { "www-authenticate": challenge },
		...retryAfter === void 0 ? {} : { "retry-after": String(retryAfter) }
	};
}
function drop(request, response, status, why, headers = {}) {
	refuse(response, status, why, request.method === "POST" && !request.complete ? {
		...headers,
		connection: "close"
	} : headers);
}
function health(state, path, response) {
	const ok = path === "/_healthz" || state.ready;
	const servers = Object.fromEntries(Object.entries(state.servers).map(([name, each]) => [name, each.state]));
	sendJson(response, ok ? 200 : 503, JSON.stringify(path === "/_healthz" ? { status: "ok" } : {
		status: ok ? "ready" : "not ready",
		servers
	}), { "cache-control": "no-store" });
}
function splitUrl(url) {
	const at = url.indexOf("?");
	return at < 0 ? [url] : [url.slice(0, at), url.slice(at + 1)];
}
function routeOf(path, base, exists) {
	const match = /^(.*)\/(mcp|sse|message)\/?$/.exec(path);
	if (!match) return void 0;
	const [, before = "", kind] = match;
	const one = /^(.*)\/([\w.-]{1,64})$/.exec(before);
	if (one && (one[1] === "" || one[1] === base)) {
		const server = one[2];
		if (before !== base || exists(server)) return {
			server,
			kind
		};
	}
	return before === "" || before === base ? {
		server: void 0,
		kind
	} : void 0;
}
// gateway/http/serve.ts
init_errors();
const STALLED = 3e4;
const LIMITS = {
	maxHeaderSize: 16384,
	headersTimeout: 15e3,
	requestTimeout: 6e4,
	keepAliveTimeout: 75e3,
	connectionsCheckingInterval: 5e3,
	noDelay: true
};
async function listenOn(address, handler, tls, stalled = STALLED) {
	const server = tls ? https.createServer({
		...LIMITS,
		...tlsOptions(tls)
	}, handler) : http.createServer(LIMITS, handler);
	server.maxRequestsPerSocket = 0;
	server.on("clientError", (_error, socket) => {
		if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
	});
	const sockets = new Map();
	server.on(tls ? "secureConnection" : "connection", (socket) => {
		sockets.set(socket, {
			written: 0,
			at: Date.now()
		});
		socket.once("close", () => sockets.delete(socket));
	});
	const sweep = setInterval(() => {
		for (const [socket, seen] of sockets) {
			const written = socket.bytesWritten - socket.writableLength;
			if (socket.writableLength === 0 || written !== seen.written) {
				seen.written = written;
				seen.at = Date.now();
			} else if (Date.now() - seen.at > stalled) socket.destroy();
		}
	}, Math.max(50, stalled / 6));
	sweep.unref();
	await open(server, address);
	return {
		url: urlOf(server, address, tls !== void 0),
		renew(material) {
			if (server instanceof https.Server) server.setSecureContext(tlsOptions(material));
		},
		async close(grace) {
			clearInterval(sweep);
			const done = new Promise((resolve) => server.close(() => resolve()));
			server.closeIdleConnections();
			const timer = setTimeout(() => server.closeAllConnections(), grace);
			await done;
			clearTimeout(timer);
			if (address.kind === "unix") await rm(address.path, { force: true });
		}
	};
}
function tlsOptions({ cert, key, clientCA, clientCertificates }) {
	if (clientCA === void 0) return {
		cert,
		key
	};
	return {
		cert,
		key,
		ca: clientCA,
		requestCert: true,
		rejectUnauthorized: clientCertificates !== "optional",
		secureOptions: constants.SSL_OP_NO_TICKET,
		minVersion: "TLSv1.2"
	};
}
async function open(server, address) {
	if (address.kind === "unix") await removeDead(address.path);
	await new Promise((resolve, reject) => {
		server.once("error", (cause) => reject(unavailable(address, cause)));
		const listening = () => resolve();
		if (address.kind === "unix") server.listen(address.path, listening);
		else server.listen(address.port, address.host === "" ? void 0 : address.host, listening);
	});
	if (address.kind === "unix") await chmod(address.path, 384);
}
async function removeDead(path) {
	if (!(await lstat(path).catch(() => void 0))?.isSocket()) return;
	if (!await new Promise((resolve) => {
		const socket = connect(path);
		socket.once("connect", () => {
			socket.destroy();
			resolve(true);
		});
		socket.once("error", () => resolve(false));
	})) await rm(path, { force: true });
}
function urlOf(server, address, secure) {
	if (address.kind === "unix") return `unix:${address.path}`;
	const bound = server.address();
	const port = typeof bound === "object" && bound ? bound.port : address.port;
	const host = address.host === "" ? "localhost" : address.host.includes(":") ? `[${address.host}]` : address.host;
	return `${secure ? "https" : "http"}://${host}:${port}`;
}
function unavailable(address, cause) {
	const input = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
	return new McpBuildError({
		code: "address-unavailable",
		message: `The gateway can't listen on ${input}: ${cause.code ?? cause.message}`,
		input,
		fix: cause.code === "EADDRINUSE" ? "Stop what listens there, or set another \"addr\" in the configuration." : "Set another \"addr\" in the configuration.",
		cause
	});
}
// gateway/policy/policy.ts
function policed(by, behind, request, tell) {
	return { call(write, caller) {
		const refused = by.request(request);
		if (refused) {
			tell(refused);
			queueMicrotask(() => caller.fail(faultOf(refused)));
			return { cancel: () => void 0 };
		}
		return behind.call(write, screened(by, caller, tell));
	} };
}
function screened(by, caller, tell) {
	const { progress } = caller;
	return {
		...caller,
		answer(answer) {
			const { answer: told, breach } = by.answer(answer);
			if (breach) tell(breach);
			if (told) caller.answer(told);
			else caller.fail(faultOf(breach));
		},
		...progress ? { progress(params) {
			const breach = isObject(params) ? by.message(JSON.stringify(params)) : void 0;
			if (!breach) return progress(params);
			tell(breach);
			const { message: _message, ...rest } = params;
			progress(rest);
		} } : {}
	};
}
function faultOf({ where, rule }) {
	const what = rule.startsWith("secret:") ? `what looks like a secret (${rule.slice(7)})` : `a limit (${rule})`;
	const message = where === "arguments" ? rule.startsWith("secret:") ? `The call was not made: its arguments hold ${what}` : `The call was not made: its arguments break ${what}` : `The call was made, and its answer is withheld: it holds ${what}`;
	return {
		code: CODE.forbidden,
		message,
		data: {
			where,
			rule
		}
	};
}
// gateway/rules.ts
function gate(rules, also) {
	const named = rules.filter ? new Set(rules.filter.list) : void 0;
	const mode = rules.filter?.mode;
	let known = new Map();
	const byName = (name) => named && named.has(name) !== (mode === "allow") ? "is not offered here" : void 0;
	const byTool = (tool) => {
		if (rules.readOnly && !readsOnly(tool)) return "is not marked as read-only";
		return also?.(tool);
	};
	return {
		open: named === void 0 && !rules.readOnly && also === void 0,
		refuses(name) {
			const tool = known.get(name);
			let why = byName(name);
			if (why === void 0 && (rules.readOnly || also)) why = tool ? byTool(tool) : "is not among those it lists";
			return why === void 0 ? void 0 : {
				code: CODE.params,
				message: `Unknown tool: ${name} (it ${why})`
			};
		},
		sift: (tools) => tools.filter((value) => {
			const tool = toolOf(value);
			return tool !== void 0 && byName(tool.name) === void 0 && byTool(tool) === void 0;
		}),
		learn(tools) {
			known = new Map(tools.flatMap((value) => {
				const tool = toolOf(value);
				return tool ? [[tool.name, tool]] : [];
			}));
		}
	};
}
function readsOnly({ definition }) {
	return isObject(definition.annotations) && definition.annotations.readOnlyHint === true;
}
function toolOf(value) {
	return isObject(value) && typeof value.name === "string" ? {
		name: value.name,
		definition: value
	} : void 0;
}
// gateway/session.ts
const BACKLOG = 64;
const KEPT_STREAMS = 16;
function session(input) {
	const { onClosed, direct, ...rest } = input;
	let closed = false;
	const backlog = [];
	const asks = new Map();
	let asked = 0;
	const streams = sessionStreams(input.version >= "2025-11-25", () => backlog.splice(0));
	const self = {
		...rest,
		id: randomBytes(16).toString("base64url"),
		calls: new Map(),
		asked: new Set(),
		streams,
		connected: direct !== void 0,
		used: Date.now(),
		ask(method, params, deliver) {
			asked += 1;
			const id = `mcp-build-${asked}`;
			const asking = Promise.withResolvers();
			asks.set(JSON.stringify(id), asking);
			deliver(JSON.stringify({
				jsonrpc: "2.0",
				id,
				method,
				params
			}));
			return asking.promise;
		},
		settle(id, text) {
			const asking = asks.get(id);
			if (!asks.delete(id)) return false;
			const { result, error } = JSON.parse(text);
			if (error === void 0) asking?.resolve(result);
			else asking?.reject(new RpcError(error));
			return true;
		},
		deliver(text) {
			if (direct) return direct(text);
			const alone = streams.find(0);
			if (alone?.attached) return alone.send(text);
			for (const call of [...self.calls.values()].reverse()) if (call.notice(text)) return;
			if (backlog.push(text) > BACKLOG) backlog.shift();
		},
		close() {
			if (closed) return;
			closed = true;
			for (const call of [...self.calls.values()]) {
				call.cancel("the session has ended");
				call.fail({
					code: CODE.unavailable,
					message: "The session has ended"
				});
			}
			const gone = new RpcError({
				code: CODE.unavailable,
				message: "The session has ended"
			});
			for (const asking of asks.values()) asking.reject(gone);
			streams.closeAll();
			onClosed(self);
		}
	};
	return self;
}
function sessionStreams(primed, backlog) {
	const all = new Map();
	let next = 1;
	const make = (id) => {
		const made = stream(id, primed);
		all.set(id, made);
		return made;
	};
	return {
		add() {
			for (const [id, { ended }] of all) {
				if (all.size <= KEPT_STREAMS) break;
				if (ended && id !== 0) all.delete(id);
			}
			return make(next++);
		},
		find: (id) => all.get(id),
		alone() {
			const alone = all.get(0) ?? make(0);
			for (const message of backlog()) alone.send(message);
			return alone;
		},
		closeAll() {
			for (const each of all.values()) each.end();
			all.clear();
		}
	};
}
// gateway/sessions.ts
const SESSION_LIMITS = {
	sessions: 1e4,
	own: 32,
	forget: 36e5
};
function sessionTable(limits) {
	const sessions = new Map();
	const ownCount = () => [...sessions.values()].filter(({ own }) => own).length;
	const sweep = setInterval(() => {
		const before = Date.now() - limits.forget;
		for (const each of sessions.values()) {
			if (each.used >= before || each.calls.size > 0 || each.connected) continue;
			if (!each.streams.find(0)?.attached) each.close();
		}
	}, Math.max(100, limits.forget / 20));
	sweep.unref();
	return {
		add: (session) => void sessions.set(session.id, session),
		find(id, identity) {
			const found = sessions.get(id);
			if (found?.identity.id !== identity.id) return void 0;
			const now = Date.now();
			if (now - found.used > 1e3) {
				sessions.delete(id);
				sessions.set(id, found);
			}
			found.used = now;
			found.identity = identity;
			return found;
		},
		delete: ({ id }) => void sessions.delete(id),
		makeRoom(own) {
			let [all, owned] = [sessions.size, ownCount()];
			for (const each of sessions.values()) {
				if (all < limits.sessions && (!own || owned < limits.own)) return;
				if (all < limits.sessions && !each.own) continue;
				if (each.calls.size > 0 || each.connected) continue;
				each.close();
				all -= 1;
				if (each.own) owned -= 1;
			}
		},
		all: () => sessions.values(),
		count: () => ({
			sessions: sessions.size,
			own: ownCount()
		}),
		close() {
			clearInterval(sweep);
			for (const each of [...sessions.values()]) each.close();
		}
	};
}
// gateway/subscriptions.ts
const MOST = 1e4;
function subscriptions(backend, greeting) {
	const watched = new Map();
	const followers = new Set();
	let listening = new Map();
	const listen = (peer, notifications) => peer.request((id) => {
		const params = {
			notifications,
			_meta: envelope(greeting)
		};
		return JSON.stringify({
			jsonrpc: "2.0",
			id,
			method: "subscriptions/listen",
			params
		});
	}, {
		answer: () => void 0,
		fail: () => void 0,
		background: true
	});
	function begin(uri) {
		const peer = backend.current();
		if (peer?.hello.generation === "modern") listening.set(uri, listen(peer, { resourceSubscriptions: [uri] }));
		else peer?.ask("resources/subscribe", { uri }, 3e4).catch(() => void 0);
	}
	function end(uri) {
		const peer = backend.current();
		const id = listening.get(uri);
		listening.delete(uri);
		if (id !== void 0) peer?.cancel(id);
		else peer?.ask("resources/unsubscribe", { uri }, 3e4).catch(() => void 0);
	}
	function unwatch(watcher, uri) {
		const watchers = watched.get(uri);
		if (!watchers?.delete(watcher) || watchers.size > 0) return;
		watched.delete(uri);
		end(uri);
	}
	return {
		watch(watcher, uri) {
			const watchers = watched.get(uri);
			if (watchers) watchers.add(watcher);
			else if (watched.size >= MOST) return false;
			else {
				watched.set(uri, new Set([watcher]));
				begin(uri);
			}
			return true;
		},
		unwatch,
		follow(follower) {
			followers.add(follower);
			return () => followers.delete(follower);
		},
		drop(watcher) {
			for (const uri of [...watched.keys()]) unwatch(watcher, uri);
		},
		updated(params) {
			const uri = params?.uri;
			if (typeof uri !== "string") return;
			const text = JSON.stringify({
				jsonrpc: "2.0",
				method: "notifications/resources/updated",
				params: { uri }
			});
			for (const watcher of watched.get(uri) ?? []) watcher.deliver(text);
		},
		changed(method) {
			for (const follower of followers) follower(method);
		},
		again() {
			listening = new Map();
			const peer = backend.current();
			if (peer?.hello.generation === "modern") {
				const wanted = lists(peer.hello.capabilities);
				if (Object.keys(wanted).length > 0) listen(peer, wanted);
			}
			for (const uri of watched.keys()) begin(uri);
		}
	};
}
function lists(capabilities) {
	const changes = (name) => isObject(capabilities[name]) && capabilities[name].listChanged === true;
	return {
		...changes("tools") ? { toolsListChanged: true } : {},
		...changes("prompts") ? { promptsListChanged: true } : {},
		...changes("resources") ? { resourcesListChanged: true } : {}
	};
}
// gateway/rpc/tool-error.ts
const SAID = Buffer.from("\"isError\"");
const COLON = 58;
const T = 116;
function isToolError(line) {
	for (let at = line.indexOf(SAID); at >= 0; at = line.indexOf(SAID, at + SAID.length)) {
		const colon = pastSpace(line, at + SAID.length);
		if (line[colon] !== COLON || line[pastSpace(line, colon + 1)] !== T) continue;
		const { result } = JSON.parse(line.toString("utf8"));
		return result?.isError === true;
	}
	return false;
}
function pastSpace(line, from) {
	let at = from;
	while (line[at] === 32 || line[at] === 9 || line[at] === 10 || line[at] === 13) at += 1;
	return at;
}
// gateway/watching/watched.ts
function watchedCall(observer, call, behind, write, caller, tracing) {
	const since = performance.now();
	let handle;
	let begun = 0;
	let over = false;
	let cancelled = false;
	function end(outcome, tell, instead) {
		if (over) return;
		over = true;
		const whole = {
			...outcome,
			duration: performance.now() - since
		};
		observer.end(call, begun, whole, (fault) => {
			tracing?.end(fault ? {
				...whole,
				kind: "failed",
				code: fault.code
			} : whole);
			if (fault) instead(fault);
			else tell();
		});
	}
	const nobody = () => void 0;
	const kindOf = ({ failed, line }) => {
		if (failed) return "failed";
		return call.method === "tools/call" && isToolError(line) ? "tool_error" : "answered";
	};
	begun = observer.begin(call, (fault) => {
		if (fault) {
			over = true;
			tracing?.end({
				kind: "failed",
				code: fault.code,
				size: 0,
				duration: performance.now() - since
			});
			if (!cancelled) caller.fail(fault);
			return;
		}
		if (cancelled) return end({
			kind: "cancelled",
			size: 0
		}, nobody, nobody);
		tracing?.passed();
		const traced = tracing ? (id, generation) => withMeta(write(id, generation), tracing.meta) : write;
		handle = behind.call(traced, {
			answer(answer) {
				tracing?.answered(answer);
				end({
					kind: kindOf(answer),
					size: answer.line.length
				}, () => caller.answer(answer), caller.fail);
			},
			fail: (why) => end({
				kind: "failed",
				code: why.code,
				size: 0
			}, () => caller.fail(why), caller.fail),
			...caller.progress ? { progress: caller.progress } : {}
		});
	});
	return { cancel(reason) {
		if (cancelled || over) return;
		cancelled = true;
		if (!handle) return;
		handle.cancel(reason);
		end({
			kind: "cancelled",
			size: 0
		}, nobody, nobody);
	} };
}
// gateway/service.ts
const GATEWAY = {
	clientInfo: {
		name: "mcp-build-gateway",
		version: "1"
	},
	capabilities: {}
};
function service(options) {
	const { name, limits, say, observer } = options;
	const rules = gate(options.rules, options.judge);
	const sessions = sessionTable(limits);
	let last;
	let closed = false;
	let mirrored;
	let learning;
	const common = start({
		name,
		greeting: GATEWAY,
		warm: !options.lazy,
		first: options.first,
		events: {
			onNotification(method, params) {
				if (method === "notifications/tools/list_changed") changed(common.current());
				if (method === "notifications/resources/updated") watching.updated(params);
				if (!method.endsWith("/list_changed")) return;
				watching.changed(method);
				for (const each of sessions.all()) if (!each.own) each.deliver(JSON.stringify({
					jsonrpc: "2.0",
					method
				}));
			},
			onRequest(id, method) {
				const answer = method === "ping" ? `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{}}` : faultText(JSON.stringify(id), {
					code: CODE.method,
					message: "No client is connected to this server"
				});
				common.current()?.send(answer);
			}
		},
		onUp(peer) {
			observer?.incident({
				kind: "started",
				server: name,
				digest: options.digest?.()
			});
			last = peer.hello;
			watching.again();
			changed(peer);
		}
	});
	const watching = subscriptions(common, GATEWAY);
	function start(given) {
		const timing = options.timing ? { timing: options.timing } : {};
		const onDown = (why) => observer?.incident({
			kind: "down",
			server: name,
			why
		});
		return backend({
			...given,
			...timing,
			open: options.open,
			limits,
			say,
			onDown
		});
	}
	function changed(peer) {
		learning = void 0;
		if (mirrored === void 0 && rules.open) return;
		mirrored = void 0;
		if (peer) learning = learn(peer);
	}
	async function learn(peer) {
		if (!peer.hello.capabilities.tools) {
			mirrored = new Map();
			return;
		}
		const meta = peer.hello.generation === "modern" ? { _meta: envelope(GATEWAY) } : {};
		const tools = [];
		const seen = new Set();
		try {
			for (let cursor;;) {
				const page = await peer.ask("tools/list", {
					...meta,
					...cursor === void 0 ? {} : { cursor }
				}, 3e4);
				if (Array.isArray(page.tools)) tools.push(...page.tools);
				cursor = page.nextCursor;
				if (typeof cursor !== "string" || cursor === "" || seen.has(cursor) || tools.length > 5e3) break;
				seen.add(cursor);
			}
			rules.learn(tools);
			mirrored = new Map(tools.flatMap((tool) => {
				if (!isObject(tool) || typeof tool.name !== "string") return [];
				const found = mirroredOf(tool.inputSchema);
				return found.length === 0 ? [] : [[tool.name, found]];
			}));
		} catch {
			rules.learn([]);
			mirrored = new Map();
		}
	}
	async function mirroredOnceKnown(tool) {
		const peer = await common.use().catch(() => void 0);
		if (!peer) return [];
		learning ??= learn(peer);
		await learning;
		return mirrored?.get(tool) ?? [];
	}
	async function hello() {
		const peer = common.current();
		if (peer) return peer.hello;
		return last ?? (await common.use()).hello;
	}
	async function wantsOwn() {
		if (options.sessions !== "auto") return options.sessions === "per-client";
		return keepsState((await hello()).capabilities);
	}
	function refuses(identity, method, params) {
		if (method !== "tools/call" || rules.open && identity.tools === void 0) return void 0;
		const tool = typeof params?.name === "string" ? params.name : "";
		const refused = mayCall(identity, name, tool) ? rules.refuses(tool) : {
			code: CODE.params,
			message: `Unknown tool: ${tool} (your token doesn't let you call it)`
		};
		if (refused && observer) {
			const { code } = refused;
			observer.incident({
				kind: "call-refused",
				server: name,
				client: identity,
				method,
				target: tool,
				code
			});
		}
		return refused;
	}
	function told(identity, { method, params, text }) {
		const target = params?.name ?? params?.uri;
		return {
			client: identity,
			server: name,
			digest: options.digest?.(),
			method,
			target: typeof target === "string" ? target : void 0,
			size: text.length
		};
	}
	function blocked(client, method, target, breach) {
		observer?.incident({
			kind: "call-blocked",
			server: name,
			client,
			method,
			target,
			...breach
		});
	}
	function mayHear(client, method, text) {
		const breach = options.policy?.message(text);
		if (breach) blocked(client, method, void 0, breach);
		return breach === void 0;
	}
	function shared(asking, { id, method, params }) {
		const done = `{"jsonrpc":"2.0","id":${id},"result":{}}`;
		if (method === "logging/setLevel") return done;
		const uri = typeof params?.uri === "string" ? params.uri : "";
		if (method === "resources/unsubscribe") {
			watching.unwatch(asking, uri);
			return done;
		}
		if (method !== "resources/subscribe") return void 0;
		if (uri !== "" && watching.watch(asking, uri)) return done;
		return faultText(id, {
			code: CODE.params,
			message: "Too many resources are watched, or none is named"
		});
	}
	return {
		name,
		offersAll: ({ tools }) => rules.open && tools === void 0,
		offered: (identity, tools) => rules.sift(tools).filter((tool) => isObject(tool) && mayCall(identity, name, textOf(tool.name))),
		timeout: options.timeout,
		subscriptionsOf: () => watching,
		common,
		hello,
		async open(identity, greeting, version, direct) {
			const own = await wantsOwn();
			sessions.makeRoom(own);
			const held = {};
			const behind = own ? start({
				name: `${name} (for ${identity.name})`,
				greeting,
				warm: false,
				first: "legacy",
				events: toOne(() => held.session, (method, text) => mayHear(held.session?.identity ?? identity, method, text))
			}) : common;
			if (own) await behind.use();
			const opened = session({
				identity,
				greeting,
				version,
				backend: behind,
				own,
				direct,
				onClosed(gone) {
					sessions.delete(gone);
					watching.drop(gone);
					if (own) behind.close().catch((error) => say(`${name}: ${String(error)}`));
				}
			});
			held.session = opened;
			if (closed) opened.close();
			else sessions.add(opened);
			return opened;
		},
		find: sessions.find,
		call(identity, behind, request, write, caller) {
			const call = observer && told(identity, request);
			const { method } = request;
			const to = options.policy ? policed(options.policy, behind, request, (breach) => blocked(identity, method, call?.target, breach)) : behind;
			return call ? watchedCall(observer, call, to, write, caller, observer.trace?.(call, request)) : to.call(write, caller);
		},
		refuses,
		mirrored(_identity, params) {
			const tool = typeof params?.name === "string" ? params.name : "";
			return mirrored === void 0 ? mirroredOnceKnown(tool) : mirrored.get(tool) ?? [];
		},
		instead(asking, request) {
			const refused = refuses(asking.identity, request.method, request.params);
			if (refused) return faultText(request.id, refused);
			return asking.own ? void 0 : shared(asking, request);
		},
		state: () => common.state(),
		trouble: () => common.trouble(),
		count: sessions.count,
		async close() {
			closed = true;
			const owned = [...sessions.all()].filter(({ own }) => own).map(({ backend: behind }) => behind);
			sessions.close();
			await Promise.allSettled([common.close(), ...owned.map((each) => each.close())]);
		}
	};
}
function toOne(of, mayHear) {
	return {
		onNotification(method, _params, text) {
			if (mayHear(method, text)) of()?.deliver(text);
		},
		onRequest(id, method, text) {
			const client = of();
			const name = JSON.stringify(id);
			if (method === "ping" || !client) {
				const answer = client ? `{"jsonrpc":"2.0","id":${name},"result":{}}` : faultText(name, NOBODY);
				client?.backend.current()?.send(answer);
				return;
			}
			if (!mayHear(method, text)) {
				const fault = {
					code: CODE.forbidden,
					message: "The gateway did not pass this on: it holds a secret"
				};
				client.backend.current()?.send(faultText(name, fault));
				return;
			}
			client.asked.add(name);
			client.deliver(text);
		}
	};
}
const NOBODY = {
	code: CODE.method,
	message: "No client is connected to this server"
};
function keepsState(capabilities) {
	const { logging, resources, tasks } = capabilities;
	return logging !== void 0 || tasks !== void 0 || isObject(resources) && resources.subscribe === true;
}
// gateway/bridge/bridge.ts
const NAME = "server";
const MAX_BODY = 16777216;
const CLOSE_GRACE = 1e3;
async function openBridge(options) {
	let draining = false;
	let active = 0;
	const names = guard({
		hosts: options.hosts,
		origins: [],
		anyHost: false
	});
	const addresses = guard({
		hosts: [],
		origins: [],
		anyHost: true
	});
	const behind = service({
		name: NAME,
		open: options.open,
		rules: { readOnly: false },
		sessions: options.sessions,
		lazy: false,
		first: "modern",
		limits: {
			...BACKEND_LIMITS,
			...SESSION_LIMITS,
			own: options.servers
		},
		timeout: 0,
		say: options.say
	});
	const sessions = options.sessions === "shared" ? adoption(behind) : void 0;
	const health = () => {
		const state = behind.state();
		return {
			ready: state === "up" && !draining,
			servers: { [NAME]: { state } }
		};
	};
	const answer = front({
		guard: () => (request, response) => (isAddress(request) ? addresses : names)(request, response),
		door: () => ({
			enter: () => ANYBODY,
			admit: () => ({
				status: 403,
				why: "There is nothing to see here"
			})
		}),
		service: (name) => name === NAME ? behind : void 0,
		health,
		metadata: () => void 0,
		base: () => "",
		maxBody: () => MAX_BODY
	});
	const listening = await listenOn({
		kind: "tcp",
		host: "",
		port: options.port
	}, (request, response) => {
		active += 1;
		response.once("close", () => {
			active -= 1;
		});
		if (draining) response.setHeader("connection", "close");
		request.url = routed(request.url ?? "/");
		const adopted = sessions?.(request);
		if (adopted) adopted.then(() => answer(request, response));
		else answer(request, response);
	}, void 0);
	const bridge = {
		url: listening.url,
		health,
		async drain(least, most) {
			draining = true;
			const start = Date.now();
			for (;;) {
				const passed = Date.now() - start;
				if (passed >= most || passed >= least && active === 0) break;
				await new Promise((resolve) => setTimeout(resolve, 50));
			}
			await bridge.close();
		},
		async close() {
			const closing = listening.close(CLOSE_GRACE);
			await behind.close();
			await closing;
		}
	};
	return bridge;
}
const ADOPTED = 1e4;
function adoption(behind) {
	const known = new Map();
	const nobody = {
		clientInfo: {
			name: "unknown",
			version: "0"
		},
		capabilities: {}
	};
	return ({ headers }) => {
		const id = headers["mcp-session-id"];
		if (typeof id !== "string" || behind.find(id, ANYBODY)) return void 0;
		const other = known.get(id);
		if (other !== void 0 && behind.find(other, ANYBODY)) {
			headers["mcp-session-id"] = other;
			return;
		}
		if (!/^[\w-]{16,64}$/.test(id)) return void 0;
		const version = headers["mcp-protocol-version"];
		return behind.open(ANYBODY, nobody, typeof version === "string" ? version : LEGACY).then((session) => {
			known.set(id, session.id);
			const [oldest = ""] = known.keys();
			if (known.size > ADOPTED) known.delete(oldest);
			headers["mcp-session-id"] = session.id;
		}, () => void 0);
	};
}
function routed(url) {
	const at = url.indexOf("?");
	const path = at < 0 ? url : url.slice(0, at);
	if (path === "/mcp" || path === "/mcp/") return `/${NAME}/mcp`;
	return path === "/_healthz" || path === "/_readyz" ? path : "/";
}
function isAddress({ headers: { host = "" } }) {
	const name = host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
	return isIP(name) !== 0;
}
function whenTurnEnds(task) {
	setImmediate(task);
}
// gateway/upstream/channel.ts
const LONGEST_MESSAGE = 67108864;
const MOST_WAITING = 67108864;
const LONG = 16384;
const MOST_COPIED = 1048576;
const NEWLINE$1 = 10;
function lineWriter(input) {
	let waiting = [];
	let memory;
	let free = true;
	const flush = () => {
		if (waiting.length === 0) return;
		const text = waiting.length === 1 ? `${waiting[0]}\n` : `${waiting.join("\n")}\n`;
		waiting = [];
		if (input.writable) input.write(text);
	};
	const writeLong = (text) => {
		const size = Buffer.byteLength(text) + 1;
		if (!free || size > MOST_COPIED) {
			const bytes = Buffer.allocUnsafeSlow(size);
			bytes[bytes.write(text)] = NEWLINE$1;
			input.write(bytes);
			return;
		}
		memory ??= Buffer.allocUnsafeSlow(MOST_COPIED);
		free = false;
		memory[memory.write(text)] = NEWLINE$1;
		input.write(memory.subarray(0, size), () => {
			free = true;
		});
	};
	input.on("error", () => void 0);
	return (message) => {
		if (!input.writable || input.writableLength > MOST_WAITING) return false;
		if (message.length >= LONG) {
			flush();
			writeLong(message);
		} else if (waiting.push(message) === 1) whenTurnEnds(flush);
		return true;
	};
}
// gateway/upstream/lines.ts
const NEWLINE = 10;
const RETURN = 13;
const EMPTY = Buffer.alloc(0);
const MOST_HELD = 1048576;
function lines(longest, receive, overflow) {
	let held = EMPTY;
	let length = 0;
	let over = false;
	const hold = (chunk, from) => {
		const needed = length + chunk.length - from;
		if (needed > held.length) {
			const larger = Buffer.allocUnsafeSlow(Math.max(4096, 2 ** Math.ceil(Math.log2(needed))));
			held.copy(larger, 0, 0, length);
			held = larger;
		}
		chunk.copy(held, length, from);
		length = needed;
	};
	return { push(bytes) {
		if (over) return;
		const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
		let from = 0;
		for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
			const line = Buffer.allocUnsafe(length + at - from);
			held.copy(line, 0, 0, length);
			chunk.copy(line, length, from, at);
			length = 0;
			if (held.length > MOST_HELD) held = EMPTY;
			from = at + 1;
			const end = line.at(-1) === RETURN ? line.length - 1 : line.length;
			if (end > 0) receive(end < line.length ? line.subarray(0, end) : line);
		}
		if (from === chunk.length) return;
		if (length + chunk.length - from > longest) {
			over = true;
			held = EMPTY;
			overflow();
			return;
		}
		hold(chunk, from);
	} };
}
// gateway/bridge/child.ts
const PATIENCE = 2500;
function childChannel(command, environment) {
	return async (receive) => {
		const [program = "", ...args] = command;
		const child = spawn(program, args, {
			stdio: [
				"pipe",
				"pipe",
				"inherit"
			],
			env: environment,
			detached: true
		});
		let fault;
		const signal = (name) => {
			try {
				if (child.pid !== void 0) process.kill(-child.pid, name);
			} catch {}
		};
		const out = lines(LONGEST_MESSAGE, receive, () => {
			fault = `it said more than ${LONGEST_MESSAGE} bytes in one message`;
			signal("SIGKILL");
		});
		child.stdout.on("data", (chunk) => out.push(chunk));
		const exited = new Promise((resolve) => {
			child.once("exit", () => resolve());
			child.once("error", () => resolve());
		});
		const ended = new Promise((resolve) => {
			child.once("exit", () => {
				signal("SIGKILL");
				setTimeout(() => child.stdout.destroy(), 500).unref();
			});
			child.once("close", (code, by) => resolve(fault ?? `it ended with ${by ?? `code ${code}`}`));
			child.once("error", (error) => resolve(error.message));
		});
		return {
			send: lineWriter(child.stdin),
			ended,
			async close() {
				child.stdin.end();
				for (const name of ["SIGTERM", "SIGKILL"]) {
					if (await within(exited, PATIENCE)) break;
					signal(name);
				}
				await exited;
			}
		};
	};
}
async function within(done, milliseconds) {
	let timer;
	const late = new Promise((resolve) => {
		timer = setTimeout(() => resolve(false), milliseconds);
	});
	const result = await Promise.race([done.then(() => true), late]);
	clearTimeout(timer);
	return result;
}
// gateway/bridge/program.ts
setFlagsFromString("--semi-space-growth-factor=1");
const OWN = "MCP_BRIDGE_";
const say = (line) => process.stderr.write(`mcp-bridge: ${line}\n`);
function fail(line) {
	say(line);
	process.exit(2);
}
function number(name, usual, most) {
	const text = process.env[`${OWN}${name}`] ?? "";
	if (text === "") return usual;
	const value = Number(text);
	if (/^\d{1,7}$/.test(text) && value <= most) return value;
	return fail(`${OWN}${name} "${text.slice(0, 40)}" is not a whole number up to ${most}`);
}
function sessions() {
	const text = process.env[`${OWN}SESSIONS`] ?? "auto";
	if (text === "auto" || text === "shared" || text === "per-client") return text;
	return fail(`${OWN}SESSIONS "${text.slice(0, 40)}" is not auto, shared or per-client`);
}
const command = process.argv.slice(2);
if (command.length === 0) fail("it was given no command");
const bridge = await openBridge({
	open: childChannel(command, Object.fromEntries(Object.entries(process.env).filter((pair) => !pair[0].startsWith(OWN)))),
	port: number("PORT", 8080, 65535),
	hosts: (process.env[`${OWN}HOSTS`] ?? "").split(",").filter((host) => host !== ""),
	sessions: sessions(),
	servers: number("SERVERS", 8, 1e3),
	say
}).catch((error) => fail(error instanceof Error ? error.message : String(error)));
say(`${bridge.url}/mcp`);
const least = number("DRAIN", 3, 600) * 1e3;
let ending = false;
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => {
	if (ending || signal === "SIGINT") bridge.close().finally(() => process.exit(0));
	else bridge.drain(least, least + 17e3).finally(() => process.exit(0));
	ending = true;
});
export {};
