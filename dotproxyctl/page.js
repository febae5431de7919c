/* SPDX-License-Identifier: ISC */
/*
 * The exporter's page: asks /api/state every two seconds and draws it.  Text
 * that the daemon sends becomes text nodes only.
 */
"use strict";

const PERIOD_MS = 2000;
const TIMEOUT_MS = 12000;
const POINTS = 300;
const WINDOW = 5; /* points that percentiles are taken over */
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
let history = [];
let last = null;
let paused = false;
let timer = 0;
const cursors = new Map();

function el(name, attributes, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {}))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

function svg(name, attributes, ...children) {
	const e = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes || {}))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

/* --- numbers for people --- */

function count(n) {
	if (n < 10000)
		return String(Math.round(n));
	const i = Math.min(4, Math.floor(Math.log10(n) / 3));
	return (n / 10 ** (3 * i)).toPrecision(3) + ["", "k", "M", "G", "T"][i];
}

function rate(n) {
	if (n === null)
		return "–";
	return n === 0 || n >= 100 ? count(n) : n.toFixed(n < 10 ? 1 : 0);
}

function time(us) {
	if (us === null || us === undefined)
		return "–";
	if (us < 1000)
		return Math.round(us) + " µs";
	if (us < 1e6)
		return (us / 1000).toPrecision(us < 1e5 ? 2 : 3) + " ms";
	return (us / 1e6).toPrecision(2) + " s";
}

function age(ms) {
	const s = Math.floor(ms / 1000);
	if (s < 120)
		return s + " s";
	if (s < 7200)
		return Math.floor(s / 60) + " min";
	if (s < 172800)
		return Math.floor(s / 3600) + " h";
	return Math.floor(s / 86400) + " days";
}

function clock(ms) {
	return new Date(ms).toLocaleTimeString([], { hour12: false });
}

/* --- what happened since --- */

/* Buckets of both transports together, as a map from lower bound to count. */
function clientBuckets(state, part) {
	const all = new Map();
	const hists = state.clients ? state.clients[part] : {};
	for (const key of ["rtt_udp", "rtt_tcp"])
		for (const b of (hists[key] || { buckets: [] }).buckets)
			all.set(b.from_us, (all.get(b.from_us) || 0) + b.count);
	return all;
}

/* Null if something was started again between the two. */
function minus(a, b) {
	const out = new Map();
	for (const [from, n] of a) {
		const d = n - (b.get(from) || 0);
		if (d < 0)
			return null;
		if (d > 0)
			out.set(from, d);
	}
	return out;
}

function quantile(buckets, q) {
	const sorted = [...buckets].sort((x, y) => x[0] - y[0]);
	const want = q * sorted.reduce((sum, [, n]) => sum + n, 0);
	let seen = 0;
	for (const [from, n] of sorted) {
		seen += n;
		if (seen >= want)
			return from;
	}
	return null;
}

function failuresOf(upstream) {
	return Object.values(upstream.failures).reduce((a, b) => a + b, 0);
}

function remember(state, at) {
	const q = state.queries;
	const point = { at, state, rate: null, failed: null, p: null,
		buckets: clientBuckets(state, "histograms") };
	const before = history[history.length - 1];
	if (q && before && before.state && before.state.queries) {
		const s = (at - before.at) / 1000, b = before.state.queries;
		if (q.received >= b.received && s > 0) {
			point.rate = (q.received - b.received) / s;
			point.failed = Math.max(0, q.failed - b.failed) / s;
		}
		const old = history[Math.max(0, history.length - WINDOW)];
		const d = old.state ? minus(point.buckets, old.buckets) : null;
		if (d && d.size > 0)
			point.p = [0.5, 0.9, 0.99].map((x) => quantile(d, x));
		before.state = { queries: b };	/* the rest is not needed */
	}
	history.push(point);
	history = history.slice(-POINTS);
}

/* --- charts --- */

const H = 190, LEFT = 58, BOTTOM = 22, TOP = 8;

/* How wide a chart is, so that its text has the size of other text. */
function widthOf(id) {
	return Math.max(240, $(id).clientWidth);
}

/* What the time axis spans: as little as there is to show. */
function spanMs() {
	const ms = history.length ?
	    history[history.length - 1].at - history[0].at : 0;
	return [60000, 120000, 300000].find((s) => ms <= s) || POINTS * PERIOD_MS;
}

/* Round numbers up to most. */
function ticks(most) {
	const step = 10 ** Math.floor(Math.log10(most || 1));
	const by = most / step >= 5 ? 2 * step : most / step >= 2 ? step : step / 2;
	const out = [];
	for (let v = 0; v < most + by; v += by)
		out.push(v);
	return out;
}

/*
 * Lines over time.  series: { name, cls, of: point => value or null }.  With
 * the pointer, or the arrow keys, one point is read out below.
 */
function drawLines(id, series, text, log) {
	const W = widthOf(id), span = spanMs();
	const now = history.length ? history[history.length - 1].at : 0;
	const values = history.flatMap((p) => series.map((s) => s.of(p)))
	    .filter((v) => v !== null);
	const most = Math.max(...values, log ? 1000 : 1);
	const least = log ? Math.max(50, Math.min(...values, 1000)) : 0;
	let marks = ticks(most);
	let y;
	if (log) {
		const a = Math.floor(Math.log10(least)), b = Math.ceil(Math.log10(most));
		marks = [];
		for (let i = a; i <= b; i++)
			marks.push(10 ** i);
		y = (v) => TOP + (H - TOP - BOTTOM) *
		    (1 - (Math.log10(Math.max(v, 10 ** a)) - a) / Math.max(1, b - a));
	} else
		y = (v) => TOP + (H - TOP - BOTTOM) * (1 - v / marks[marks.length - 1]);
	const x = (at) => W - (W - LEFT) * (now - at) / span;
	const g = svg("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true" });
	for (const v of marks)
		g.append(svg("line", { class: "grid", x1: LEFT, x2: W, y1: y(v), y2: y(v) }),
		    svg("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, text(v)));
	for (const [part, anchor] of [[1, "start"], [0.5, "middle"], [0, "end"]])
		g.append(svg("text", { x: x(now - part * span), y: H - 4,
			"text-anchor": anchor }, part === 0 ? "now" :
			part * span < 120000 ? `${part * span / 1000} s ago` :
			`${part * span / 60000} min ago`));
	for (const s of series) {
		let d = "", pen = false, area = "", from = 0;
		for (const p of history) {
			const v = s.of(p);
			if (v === null) {
				if (pen)
					area += `V${H - BOTTOM}H${from}Z`;
				pen = false;
				continue;
			}
			const at = `${x(p.at).toFixed(1)} ${y(v).toFixed(1)}`;
			if (!pen) {
				from = x(p.at).toFixed(1);
				area += `M${from} ${H - BOTTOM}L${at}`;
			} else
				area += `L${at}`;
			d += (pen ? "L" : "M") + at;
			pen = true;
		}
		if (pen)
			area += `V${H - BOTTOM}H${from}Z`;
		if (s.area)
			g.append(svg("path", { class: "area", d: area }));
		g.append(svg("path", { class: s.cls, d }));
	}
	const i = cursors.get(id);
	const at = i === undefined ? history.length - 1 :
	    Math.max(0, Math.min(history.length - 1, i));
	const p = history[at];
	if (p && i !== undefined)
		g.append(svg("line", { class: "cursor", x1: x(p.at), x2: x(p.at),
			y1: TOP, y2: H - BOTTOM }));
	const legend = el("div", { class: "legend" });
	legend.append(el("span", {}, p && i !== undefined ? clock(p.at) : "now"));
	for (const s of series)
		legend.append(el("span", {},
		    svg("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" },
			svg("path", { class: s.cls, d: "M0 4H28" })),
		    `${s.name} ${p ? text(s.of(p)) : "–"}`));
	let box = $(id).firstElementChild;
	if (!box) {
		box = el("div", { tabindex: 0, role: "img" });
		$(id).append(box);
		listen(box, id);
	}
	const label = series.map((s) => `${s.name} ${p ? text(s.of(p)) : "unknown"}`);
	box.setAttribute("aria-label",
	    `${$(id).previousElementSibling.textContent} over time; ` +
	    `${p && i !== undefined ? clock(p.at) : "now"}: ${label.join(", ")}. ` +
	    "Arrow keys read out other times.");
	box.replaceChildren(g, legend);
}

function listen(box, id) {
	const move = (i) => {
		cursors.set(id, Math.max(0, Math.min(history.length - 1, i)));
		drawCharts();
	};
	const leave = () => {
		cursors.delete(id);
		drawCharts();
	};
	box.addEventListener("keydown", (e) => {
		const i = cursors.has(id) ? cursors.get(id) : history.length - 1;
		const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0,
			End: history.length - 1 }[e.key];
		if (to !== undefined) {
			e.preventDefault();
			move(to);
		} else if (e.key === "Escape")
			leave();
	});
	box.addEventListener("pointermove", (e) => {
		if (!history.length)
			return;
		const r = box.getBoundingClientRect();
		const part = (e.clientX - r.left - LEFT) / (r.width - LEFT);
		const at = history[history.length - 1].at - (1 - part) * spanMs();
		let best = 0;
		history.forEach((p, i) => {
			if (Math.abs(p.at - at) < Math.abs(history[best].at - at))
				best = i;
		});
		move(best);
	});
	box.addEventListener("pointerleave", leave);
	box.addEventListener("blur", leave);
}

/* Bars: each is a third of a doubling wide. */
function drawHist(state) {
	const bars = new Map();
	let total = 0;
	for (const [from, n] of clientBuckets(state, "last_minute")) {
		const i = Math.floor(3 * Math.log2(Math.max(from, 1)));
		bars.set(i, (bars.get(i) || 0) + n);
		total += n;
	}
	if (total === 0) {
		$("hist").replaceChildren(el("p", { class: "quiet" },
		    "No query was answered in the last minute."));
		return;
	}
	const keys = [...bars.keys()];
	let a = Math.min(...keys) - 1, b = Math.max(...keys) + 1;
	if (b - a < 12) {
		a -= Math.floor((12 - b + a) / 2);
		b = a + 12;
	}
	const W = widthOf("hist"), most = Math.max(...bars.values());
	const width = (W - LEFT) / (b - a + 1);
	const x = (i) => LEFT + (i - a) * width;
	const y = (share) => TOP + (H - TOP - BOTTOM) * (1 - share * total / most);
	const g = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label":
		`Histogram of ${total} response times of the last minute` });
	for (const part of [0, 0.5, 1]) {
		const share = part * most / total;
		g.append(svg("line", { class: "grid", x1: LEFT, x2: W,
			y1: y(share), y2: y(share) }),
		    svg("text", { x: LEFT - 8, y: y(share) + 4, "text-anchor": "end" },
			share === 0 ? "0" : `${(share * 100).toPrecision(2)}%`));
	}
	const every = Math.max(3, Math.ceil((b - a) * 70 / (W - LEFT) / 3) * 3);
	for (let i = a; i <= b; i++) {
		if (i % every === 0)
			g.append(svg("text", { x: x(i), y: H - 4, "text-anchor": "middle" },
			    time(2 ** (i / 3))));
		const n = bars.get(i);
		if (!n)
			continue;
		const h = Math.max(1.5, H - BOTTOM - y(n / total));
		g.append(svg("rect", { class: "bar", x: x(i) + 1, y: H - BOTTOM - h,
			width: Math.max(1, width - 2), height: h, rx: 2 },
		    svg("title", {}, `${time(2 ** (i / 3))} to ` +
			`${time(2 ** ((i + 1) / 3))}: ${count(n)} of ${count(total)}`)));
	}
	$("hist").replaceChildren(g, el("div", { class: "legend" },
	    `${count(total)} queries: p50 ${time(lastMinute(state, 0.5))}, ` +
	    `p90 ${time(lastMinute(state, 0.9))}, p99 ${time(lastMinute(state, 0.99))}`));
}

function lastMinute(state, q) {
	return quantile(clientBuckets(state, "last_minute"), q);
}

/* --- tables --- */

function table(head, rows) {
	return el("table", {},
	    el("thead", {}, el("tr", {}, ...head.map(([text, cls]) =>
		el("th", { scope: "col", class: cls }, text)))),
	    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, i) =>
		el(i ? "td" : "th", i ? { class: head[i][1] } :
		    { scope: "row" }, cell))))));
}

const CAUSES = {
	failed_timeout: "SERVFAIL: no answer in time",
	failed_network: "SERVFAIL: network error",
	failed_tls: "SERVFAIL: TLS or certificate",
	failed_busy: "SERVFAIL: too busy",
	failed_not_ready: "SERVFAIL: pool not there",
	failed_other: "SERVFAIL: other",
	refused_acl: "Refused: client not allowed",
	refused_unsupported: "Refused: not forwarded",
	refused_limited: "Sent to TCP: rate limit",
	dropped_malformed: "Dropped: no query",
	dropped_send: "Dropped: could not be sent",
	dropped_repeated: "Dropped: the same is in flight",
	dropped_limited: "Dropped: rate limit",
	tcp_refused: "TCP connections over the limit",
};

function drawErrors(state) {
	const rows = [];
	for (const [key, text] of Object.entries(CAUSES))
		if (state.listener && state.listener[key] > 0)
			rows.push([text, state.listener[key]]);
	for (const u of state.upstreams || [])
		for (const [phase, n] of Object.entries(u.failures))
			if (n > 0)
				rows.push([`${u.name}: ${phase}`, n]);
	rows.sort((a, b) => b[1] - a[1]);
	$("errors").replaceChildren(rows.length === 0 ?
	    el("p", { class: "quiet" }, "None since the start.") :
	    table([["Cause", ""], ["Since the start", "n"]],
		rows.slice(0, 8).map(([text, n]) => [text, n.toLocaleString("en")])));
}

function slots(u) {
	const box = el("div", { class: "slots", role: "img", "aria-label":
		`${u.open} of ${u.pool_size} connections open, ${u.idle} idle, ` +
		`${u.connecting} being made` });
	const add = (n, cls) => {
		for (let i = 0; i < n && box.childElementCount < 64; i++)
			box.append(el("i", { class: cls }));
	};
	add(u.open - u.idle, "busy");
	add(u.idle, "idle");
	add(u.connecting, "dial");
	add(Math.max(0, u.pool_size - u.open - u.connecting), "");
	return box;
}

function fact(name, value) {
	return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function drawUpstreams(state) {
	$("upstreams").replaceChildren(...(state.upstreams || []).map((u) => {
		const recent = (u.last_minute || {}).latency || {};
		const good = u.down ? "bad" : u.state === "up" ? "ok" : "warn";
		const known = recent.count > 0;
		const text = u.state === "back-off" ?
		    `back-off ${Math.ceil(u.backoff_left_ms / 1000)} s` : u.state;
		return el("article", { class: "upstream" },
		    el("header", {},
			el("div", {}, el("h3", {}, u.name), el("p", { class: "quiet" },
			    u.address.includes(":") ? `[${u.address}]:${u.port}` :
				`${u.address}:${u.port}`)),
			el("p", { class: `badge ${good}` }, text)),
		    slots(u),
		    el("dl", { class: "facts" },
			fact("in flight", count(u.in_flight + u.waiting)),
			fact("p50", known ? time(recent.p50_us) : "–"),
			fact("p99", known ? time(recent.p99_us) : "–"),
			fact("answers", count(u.answers)),
			fact("resumed", u.opened ?
			    `${Math.round(100 * u.resumed / u.opened)}%` : "–"),
			fact("failures", count(failuresOf(u)))),
		    ...(u.last_failure ? [el("p", { class: "quiet" },
			`Last failure: ${u.last_failure}`)] : []));
	}));
}

function drawProcesses(state) {
	$("processes").replaceChildren(table(
	    [["Process", ""], ["PID", "n"], ["Up for", "n"], ["Restarts", "n"],
		["Last death", ""]],
	    (state.processes || []).map((p) => [
		p.worker ? `${p.role} ${p.worker}` : p.role,
		p.pid === null ? "not running" : String(p.pid), age(p.uptime_ms),
		String(p.restarts), p.last_death || "–"])));
}

function drawTiles(state) {
	const q = state.queries;
	const p = history[history.length - 1];
	const done = q ? q.answered + q.failed : 0;
	const tiles = [
		["queries a second", p ? rate(p.rate) : "–"],
		["answered", done ?
		    `${(Math.floor(10000 * q.answered / done) / 100)}%` : "–"],
		["in flight", count(state.in_flight || 0)],
		["median, last minute", time(lastMinute(state, 0.5))],
		["p99, last minute", time(lastMinute(state, 0.99))],
		["queries", q ? count(q.received) : "–"],
	];
	$("tiles").replaceChildren(...tiles.map(([name, value]) => fact(name, value)));
}

function drawCharts() {
	drawLines("rate", [
		{ name: "received", cls: "one", area: true, of: (p) => p.rate },
		{ name: "SERVFAIL", cls: "two", of: (p) => p.failed },
	], rate, false);
	drawLines("latency", ["p50", "p90", "p99"].map((name, i) => ({
		name, cls: ["one", "two", "three"][i], of: (p) => p.p ? p.p[i] : null,
	})), time, true);
}

/* --- the daemon, and when it does not answer --- */

function verdict(text, cls, alarm) {
	const v = $("verdict");
	if (v.textContent !== text)
		v.textContent = text;	/* read out only when it changes */
	v.className = `badge ${cls}`;
	if (alarm && $("alarm").textContent !== alarm)
		$("alarm").textContent = alarm;
	$("alarm").hidden = !alarm;
	$("alarm").className = `alarm ${cls}`;
	document.title = text === "ok" ? "dotproxy" : `${text}: dotproxy`;
}

function draw(state) {
	last = state;
	const cls = { ok: "ok", degraded: "warn", down: "bad" }[state.verdict];
	document.body.classList.remove("stale");
	verdict(state.verdict, cls, state.verdict === "ok" && state.ok ? "" :
	    state.error || `It is ${state.verdict}: ${state.reason}.`);
	$("about").textContent = `up ${age(state.uptime_ms || 0)}, policy ` +
	    `${state.policy || "unknown"}` +
	    (state.workers ? `, ${state.workers} workers` : "");
	drawTiles(state);
	drawCharts();
	drawHist(state);
	drawErrors(state);
	drawUpstreams(state);
	drawProcesses(state);
}

function silent(why) {
	document.body.classList.add("stale");
	verdict("no answer", "bad", why + (last ? ` What is below is of ${
	    clock(history.filter((p) => p.state).pop().at)}.` : ""));
	history.push({ at: Date.now(), state: null, rate: null, failed: null,
		p: null, buckets: new Map() });
	history = history.slice(-POINTS);
	drawCharts();
}

async function poll() {
	let state;
	try {
		const answer = await fetch("/api/state",
		    { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
		if (!answer.ok)
			throw new Error(`status ${answer.status}`);
		state = await answer.json();
	} catch (e) {
		silent(`The exporter does not answer (${e.message}).`);
		return;
	}
	if (state.verdict === undefined) {
		silent(`The daemon does not answer: ${state.error}.`);
		return;
	}
	remember(state, Date.now());
	draw(state);
}

async function loop() {
	clearTimeout(timer);
	if (paused || document.hidden)
		return;
	await poll();
	clearTimeout(timer);
	timer = setTimeout(loop, PERIOD_MS);
}

$("pause").addEventListener("click", () => {
	paused = !paused;
	$("pause").setAttribute("aria-pressed", String(paused));
	loop();
});
document.addEventListener("visibilitychange", loop);
addEventListener("resize", () => {
	drawCharts();
	if (last)
		drawHist(last);
});
loop();
