// What the station says now: verdict, fault, counts, rates, health, recipe.

import { drawChart } from "./chart.js";
import { $, act, ask, decimal, doubtOf, fill, h, has, number, percent, percentUp, say, t, time, word } from "./ui.js";

const HELD_MS = 10000;
let asked = null; // the recipe that was asked for here

export function startOperate(known) {
  $("reset").onclick = () => act($("reset"), async () => { await ask("POST", "api/v1/reset"); say("announce", t("reset_done")); });
  $("reset-counts").onclick = () => confirm(t("reset_counters_sure")) && act($("reset-counts"), () => ask("POST", "api/v1/counters/reset"));
  $("recipe-form").onsubmit = (event) => {
    event.preventDefault();
    const name = $("recipe-choice").value;
    act($("recipe-go"), async () => { await ask("POST", "api/v1/recipe", { name }); asked = name; });
  };
  $("recipe-seen").onclick = () => act($("recipe-seen"), async () => { await ask("POST", "api/v1/alarms/recipe/acknowledge"); asked = null; });
}

export function showOperate(known) {
  const state = known.state;
  document.body.dataset.link = known.isLost ? "lost" : state?.station.connected ? "live" : "away";
  showVerdict(known);
  if (!state) return;
  const station = state.station;
  say("station", station.station || "edge-ad");
  document.title = `${$("word").textContent} · ${station.station}`;
  const shown = known.isLost ? "lost" : station.connected ? station.state : "away";
  say("state", word("station", shown));
  $("state").dataset.state = shown;
  if ($("operate").hidden) return;
  showFault(known, station);
  showAlarms(known, station);
  showCounts(state, known);
  showHealth(state, station);
  showRecipe(known, station);
  drawChart($("chart"), known.results, station.snapshot?.inspections ?? {});
  const last = known.last ?? known.results.at(-1);
  say("score", last && last.score !== null ? t("score_of", { score: decimal(last.score), threshold: decimal(last.threshold) }) : "");
}

function verdictOf(known) {
  const state = known.state;
  if (!state && !known.isLost) return ["starting", t("connecting"), "", ""];
  if (known.isLost) return ["lost", t("lost"), "", t(known.isDenied ? "log_in_needed" : "lost_long")];
  const station = state.station;
  if (!station.connected) return ["lost", t("away"), "", t("away_long")];
  if (station.state === "FAULT") return ["fault", t("fault"), "", causesOf(station).map(headline).join("; ")];
  if (station.state === "STARTING" || station.state === "STOPPING") return ["wait", word("station", station.state), "", ""];
  const last = known.last;
  const age = performance.now() - known.lastAt;
  if (!last || age > HELD_MS) {
    const before = known.results.at(-1);
    return ["wait", t("waiting"), "", before ? t("before", { part: before.part_id ?? "–", state: t(`state_${before.state}`), when: time(before.at) }) : ""];
  }
  const why = last.state === "INVALID" ? `${word("reason", last.reason)}${last.detail ? ` – ${last.detail}` : ""}` : "";
  return [last.state.toLowerCase(), t(`state_${last.state}`), last.challenge ? `${t("challenge")}: ${last.challenge}` : last.part_id ?? "", why];
}

function showVerdict(known) {
  const [kind, text, part, why] = verdictOf(known);
  $("verdict").dataset.show = kind;
  $("word").style.setProperty("--letters", Math.max(4, ...text.split(" ").map((one) => one.length)));
  say("word", text);
  say("part", part);
  say("why", why);
}

function showFault(known, station) {
  const isFault = !known.isLost && station.connected && station.state === "FAULT";
  const causes = causesOf(station);
  if (isFault && $("fault").hidden) say("urgent", `${t("fault")}: ${causes.map(headline).join("; ")}`);
  $("fault").hidden = !isFault;
  if (!isFault) return;
  $("reset").hidden = !known.may("operator");
  fill("causes", causes, () => causes.map((cause) => {
    const kind = `do_${kindOf(cause.name)}`;
    return h("li", {}, ...told(cause), h("p", {}, t(has(kind) ? kind : "do_other")));
  }));
}

// The first words of what the station names are one of these: "camera top", "stop rule in_a_row", "challenge set".
const KINDS = ["camera", "scorer", "stop rule", "input", "drift", "challenge set", "challenge", "update"];

const kindOf = (name) => (KINDS.find((kind) => name === kind || name.startsWith(`${kind} `)) ?? "other").replace(" ", "_");

const causesOf = (station) => {
  const texts = (station.cause ?? "").split("; ");
  return (station.causes.length ? station.causes : texts).map((name, place) => ({ name, text: texts[place] ?? name }));
};

// What is the matter in the language of the page; what only the station's own words say is told in these.
function headline({ name, text }) {
  const kind = kindOf(name);
  return kind === "other" || name === text ? text : t(`about_${kind}`, { name: name.slice(kind.length + 1) });
}

// The headline, and below it the station's own words, which are English.
function told(one) {
  const head = headline(one);
  return [h("strong", {}, head), head === one.text ? null : h("p", { class: "small", lang: "en" }, one.text)];
}

function showAlarms(known, station) {
  const alarms = Object.entries(station.alarms);
  $("alarms").hidden = alarms.length === 0;
  const mayActs = known.may("operator");
  fill("alarm-list", [alarms, mayActs], () => alarms.map(([name, text]) => {
    const button = h("button", { type: "button", class: "act", "data-name": name, "aria-label": `${t("acknowledge")}: ${headline({ name, text })}` }, t("acknowledge"));
    button.onclick = () => act(button, () => ask("POST", `api/v1/alarms/${encodeURIComponent(name)}/acknowledge`));
    return h("li", {}, h("div", {}, ...told({ name, text })), mayActs ? button : null);
  }));
}

function showCounts(state, known) {
  const { counts, snapshot } = state.station;
  const since = snapshot?.counts?.since;
  const rows = [["total", counts.total], ["state_ACCEPT", counts.ok], ["state_REJECT", counts.ng], ["state_INVALID", counts.invalid], ["refused_triggers", counts.refused]];
  fill("count-list", rows, () => rows.map(([key, value]) => h("div", { class: key }, h("dt", {}, t(key)), h("dd", {}, number(value)))));
  const rates = state.false_rejects, found = rates.found;
  const promises = Object.entries(snapshot?.inspections ?? {});
  fill("rates", [promises.map(([name, one]) => [name, one.rate, one.confidence, one.doubt, one.method]), rates], () => [
    ...promises.map(([name, one]) => row(promises.length > 1 ? `${t("promised")} (${name})` : t("promised"), promiseOf(one))),
    row(t("observed"), rates.known.of ? t("observed_of", { rate: percent(rates.known.count / rates.known.of), count: number(rates.known.count), of: number(rates.known.of) }) : "–"),
    row(t("at_most"), rates.worst.of ? t("bound_95", { rate: percentUp(rates.worst.high) }) : "–"),
  ]);
  const lowest = promises.filter(([, one]) => one.rate !== undefined && !one.doubt).map(([, one]) => one.rate);
  const isBroken = lowest.length > 0 && rates.known.low > lowest.reduce((sum, rate) => sum + rate, 0);
  const notes = [since ? t("since", { when: since.replace("T", " ") }) : "", rates.unseen ? t("unseen", { count: number(rates.unseen) }) : "", isBroken ? t("broken_promise") : "", ...promises.map(([, one]) => doubtOf(one.doubt))];
  say("rate-note", notes.filter(Boolean).join(" "));
  $("rate-note").classList.toggle("wrong", isBroken);
  $("reset-counts").hidden = !known.may("supervisor");
}

const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function promiseOf(one) {
  if (one.doubt) return t("promise_doubted");
  if (one.rate === undefined || one.method === "mad") return t("promise_none");
  const values = { rate: percent(one.rate), confidence: percent(one.confidence), n: number(one.normals) };
  return t(one.method === "gpd" ? "promise_estimated" : "promise", values);
}

function showHealth(state, station) {
  const snapshot = station.snapshot ?? {};
  const rows = [
    ...Object.entries(snapshot.drift ?? {}).map(([name, value]) => ["drift", name, value, value === "OK"]),
    ...Object.entries(snapshot.cameras ?? {}).map(([name, value]) => ["camera", name, value, value === "STREAMING"]),
    ...Object.entries(snapshot.controllers ?? {}).map(([name, value]) => ["controller", name, value, value === "connected"]),
    ...Object.entries({ ...snapshot.outputs, ...snapshot.files }).filter(([, value]) => value.startsWith("failing")).map(([name, value]) => ["output", name, value, false]),
  ];
  fill("health-list", [rows, state.drift_causes], () => rows.map(([kind, name, value, isWell]) => {
    const causes = kind === "drift" && !isWell ? state.drift_causes.map((one) => word("cause", one)).join(", ") : "";
    const how = kind === "output" ? value : word(kind, value);
    return h("li", { "data-well": isWell ? "yes" : "no" }, h("span", { class: "mark", "aria-hidden": "true" }, isWell ? "✓" : "!"),
      h("span", {}, `${t(`kind_${kind}`)} ${name}`), h("strong", {}, how), causes ? h("p", { class: "small" }, causes) : null,
      kind === "drift" && !isWell ? h("p", { class: "small" }, t(`do_drift_${value}`)) : null);
  }));
}

function showRecipe(known, station) {
  say("recipe", station.recipe ?? "–");
  const mayChange = known.may("supervisor") && station.recipes.length > 1;
  $("recipe-form").hidden = !mayChange;
  const others = station.recipes.filter((one) => one !== station.recipe);
  fill("recipe-choice", others, () => others.map((one) => h("option", { value: one }, one)));
  $("recipe-go").disabled = station.requested_recipe !== null || known.isLost;
  const isThere = asked !== null && station.recipe === asked && station.requested_recipe === null;
  $("recipe-seen").hidden = !isThere;
  const notes = station.requested_recipe ? t("recipe_coming", { name: station.requested_recipe }) : station.recipe_error ? t("recipe_failed", { why: station.recipe_error }) : isThere ? t("recipe_active", { name: asked }) : "";
  say("recipe-note", notes);
  $("recipe-note").classList.toggle("wrong", station.recipe_error !== null && station.requested_recipe === null);
}
