// Shows /status, which is asked for again every few seconds. Every text goes into the page as text.
const STEP_MS = 3000;
const GOOD = new Set(["hit", "miss", "not_modified", "pass", "info", "granted", "session", "sign_in", "purge", "warm"]);
const at = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en");

function element(name, content = [], classes = "") {
  const made = document.createElement(name);
  made.append(...[content].flat());
  if (classes) made.className = classes;
  return made;
}

const row = (...cells) =>
  element("tr", cells.map((cell, place) => (cell instanceof Element && ["TD", "TH"].includes(cell.tagName) ? cell : element(place ? "td" : "th", cell))));

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

function time(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${number(seconds * 1000)} ms`;
}

// Of a list of samples [name, labels, value].
const named = (samples, name) => samples.filter(([each]) => each === name);
const sum = (samples) => samples.reduce((total, [, , value]) => total + value, 0);
const by = (samples, label) => {
  const sums = new Map();
  for (const [, labels, value] of samples) sums.set(labels[label], (sums.get(labels[label]) ?? 0) + value);
  return [...sums].sort((one, other) => other[1] - one[1]);
};

// A quantile of a histogram, as Prometheus' histogram_quantile computes it.
function quantile(share, buckets) {
  const bounds = by(buckets, "le").map(([bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), count]);
  bounds.sort((one, other) => one[0] - other[0]);
  const total = bounds.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [low, below] = [0, 0];
  for (const [bound, count] of bounds) {
    if (count >= share * total) return bound === Infinity ? low : low + ((bound - low) * (share * total - below)) / (count - below || 1);
    [low, below] = [bound, count];
  }
  return low;
}

function figures({ rises, span_s }) {
  const requests = named(rises, "requests_total").filter(([, { outcome }]) => outcome !== "pass");
  const shown = requests.filter(([, { outcome }]) => ["hit", "not_modified"].includes(outcome));
  const pictures = requests.filter(([, { outcome }]) => ["hit", "not_modified", "miss"].includes(outcome));
  const times = named(rises, "request_seconds_bucket").filter(([, { outcome }]) => outcome !== "pass");
  const saved = sum(named(rises, "encode_original_bytes_total")) / (sum(named(rises, "encode_variant_bytes_total")) || 1);
  const tail = quantile(0.99, times);
  return [
    [sum(pictures) ? `${((100 * sum(shown)) / sum(pictures)).toFixed(1)} %` : "–", "hit rate"],
    [number(sum(requests)), `requests in ${duration(span_s)}`],
    [bytes(sum(named(rises, "sent_bytes_total"))), "sent to visitors"],
    [tail === null ? "–" : time(quantile(0.5, times)), "median time"],
    [tail === null ? "–" : time(tail), "99th percentile"],
    [saved > 1 ? `${saved.toFixed(1)} ×` : "–", "variants smaller"],
  ].map(([value, about]) => element("div", [element("b", value), element("span", about)]));
}

function outcomes({ rises }) {
  const requests = by(named(rises, "requests_total"), "outcome");
  const most = Math.max(1, ...requests.map(([, count]) => count));
  if (!requests.length) return [row(element("td", "No request has arrived within the last hour. Where visitors ask, the reverse proxy sends /thumb elsewhere: thumb-proxy check --uri LINK.", "warn"))];
  return requests.map(([outcome, count]) => {
    const meter = element("meter");
    [meter.max, meter.value] = [most, count];
    return row(element("th", outcome, GOOD.has(outcome) ? "" : "warn"), element("td", number(count), "number"), meter);
  });
}

function parts({ gauges, workers }) {
  const value = (name) => (named(gauges, name).length ? sum(named(gauges, name)) : null);
  const least = (name) => (named(gauges, name).length ? Math.min(...named(gauges, name).map(([, , each]) => each)) : null);
  const state = (up) => (up === null ? element("span", "not used", "dim") : up ? element("span", "up", "good") : element("span", "down", "bad"));
  const use = (used, limit) => (value(used) === null ? "" : `${bytes(value(used))}${value(limit) ? ` of ${bytes(value(limit))}` : ""}`);
  const waiting = by(named(gauges, "waiting"), "queue").filter(([, count]) => count).map(([queue, count]) => `${queue} ${number(count)}`);
  const rows = [
    row("Cloudreve", state(least("cloudreve_up")), waiting.length ? `waiting: ${waiting.join(", ")}` : "nothing waits"),
    row("Memory", state(1), use("memory_bytes", "memory_max_bytes")),
    row("Disk", state(least("disk_up")), use("disk_bytes", "disk_max_bytes")),
    row("Redis", state(least("redis_up")), use("redis_used_bytes", "redis_max_bytes")),
    row("Live events", state(value("watch_folders") ? !value("watch_failing") : null), `${number(value("watch_live") ?? 0)} folders are heard here`),
    row("Connections", "", number(value("connections") ?? 0)),
  ];
  const numbers = Object.entries(workers);
  if (numbers.length > 1) rows.push(row("Workers", "", element("td", numbers.map(([each, up]) => element("span", `${each} `, up ? "good" : "bad")))));
  return rows;
}

function calls({ rises }) {
  const made = named(rises, "upstream_calls_total");
  const times = named(rises, "upstream_seconds_bucket");
  const head = row(...["call", "number", "failed", "median", "99 %"].map((text) => element("th", text)));
  const rows = by(made, "verb").map(([verb, count]) => {
    const own = times.filter(([, labels]) => labels.verb === verb);
    const failed = sum(made.filter(([, labels]) => labels.verb === verb && ["error", "unreachable", "too_slow", "upstream", "busy"].includes(labels.outcome)));
    const within = (share) => (quantile(share, own) === null ? "–" : time(quantile(share, own)));
    return row(verb, number(count), element("td", number(failed), failed ? "bad" : ""), within(0.5), within(0.99));
  });
  return rows.length ? [head, ...rows] : [row(element("td", "None within the last hour.", "dim"))];
}

function failures({ failures: last }) {
  if (!last.length) return [element("p", "None since the start.", "dim")];
  return last.map((each) => {
    const when = new Date(each.at * 1000).toLocaleString();
    const facts = ["storage", "route", "status", "code", "correlation_id", "request_id", "file", "visitor"]
      .filter((name) => each[name] !== null && each[name] !== "")
      .map((name) => `${name} ${each[name]}`);
    const about = element("p", [element("b", each.category), ` ${each.reason}`]);
    const times = each.count > 1 ? ` · ${number(each.count)} times` : "";
    return element("article", [about, element("p", `${when}${times} · ${facts.join(" · ")}`, "dim"), ...(each.advice ? [element("p", each.advice, "warn")] : [])]);
  });
}

function warming({ warming: state }) {
  if (!state) return [];
  const counts = `${number(state.kept)} kept, ${number(state.without)} without a thumbnail, ${number(state.failed)} failed`;
  const progress = state.is_over ? "Warmed" : `Warming, ${number(state.found)} found so far`;
  return [`${progress}: ${counts}.${state.problem && ` ${state.problem}`}`];
}

const settings = ({ settings: all }) =>
  Object.entries(all).flatMap(([section, keys]) =>
    Object.entries(Array.isArray(keys) ? { "": keys } : keys).map(([key, value]) => row(key ? `${section}.${key}` : section, value === null ? element("span", "not set", "dim") : JSON.stringify(value))),
  );

function show(status) {
  const ready = Object.values(status.workers).every(Boolean);
  at("state").replaceChildren(element("span", ready ? "ready" : "not ready", ready ? "good" : "bad"), ` · ${status.version} · up ${duration(status.uptime_s)}`);
  at("guard").hidden = status.settings.admin.token === null;
  at("troubles").replaceChildren(...status.troubles.map((trouble) => element("li", trouble)));
  for (const [id, made] of Object.entries({ figures, outcomes, parts, calls, failures, warming, settings })) at(id).replaceChildren(...made(status));
}

async function refresh() {
  try {
    const answer = await fetch("status", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch {
    at("state").replaceChildren(element("span", "does not answer", "bad"));
  }
  setTimeout(refresh, STEP_MS);
}

// Gives an order; the answer, or what is wrong with the order.
async function give(path, order) {
  const token = new FormData(at("guard")).get("token");
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  try {
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(order) });
    const body = await answer.json();
    return answer.ok ? body : { problem: body.detail ?? body.title };
  } catch {
    return { problem: "The gateway does not answer." };
  }
}

async function purge(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const [kind, value] = [form.get("kind"), form.get("value").trim()];
  if (kind === "all" && !confirm("Purge everything?")) return;
  const { problem, processes, answers, pictures, waiting } = await give("purge", { [kind]: kind === "all" ? true : value });
  const later = waiting ? " Others are told as soon as they can be reached." : "";
  at("purged").textContent = problem ?? `Purged: ${number(answers)} answers and ${number(pictures)} pictures at ${processes} processes.${later}`;
}

async function warm(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const order = { uri: form.get("uri").trim(), account: form.get("account").trim(), recursive: form.has("recursive") };
  at("warmed").textContent = (await give("warm", order)).problem ?? "Warming has begun.";
}

at("guard").addEventListener("submit", (event) => event.preventDefault());
at("purge").addEventListener("submit", purge);
at("warm").addEventListener("submit", warm);
refresh();
