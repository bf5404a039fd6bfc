// Keeps the connection, and what is known of the station. A silence of three seconds is a lost connection.

import { $, act, ask, h, language, may, note, Refused, say, setZone, speak, t, time } from "./ui.js";
import { showChallenge, startChallenge } from "./challenge.js";
import { showCommission, startCommission } from "./commission.js";
import { showKeptSoon, startKept } from "./kept.js";
import { showOperate, startOperate } from "./operate.js";
import { startPicture, wantPicture } from "./picture.js";
import { showProve, startProve } from "./prove.js";

const SILENT_MS = 3000, AGAIN_MS = 1000, KEPT = 300;

const kiosk = new URLSearchParams(location.search).has("kiosk");

// state: the newest; results: the newest last; last: the verdict that may be shown; isLost: nothing is heard.
export const known = { state: null, results: [], last: null, lastAt: 0, isLost: true, isDenied: false, may: () => false };

let source = null, heardAt = 0, number = 0, stateAt = 0, silences = 0, polling = false, drawing = false, again = 0;

// --- the connection

function connect() {
  clearTimeout(again);
  source?.close();
  if (polling) { poll(); return; }
  source = new EventSource(`page/events?after=${number}`);
  heardAt = performance.now();
  source.addEventListener("state", (event) => takeState(JSON.parse(event.data)));
  source.addEventListener("results", (event) => takeResults(JSON.parse(event.data)));
  source.onerror = () => { source.close(); lost(); retry(); };
}

function retry() {
  clearTimeout(again);
  again = setTimeout(async () => {
    try {
      takeState(await ask("GET", "page/state"), false);
      connect();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) denied();
      retry();
    }
  }, AGAIN_MS);
}

// A proxy that holds events back: then the page asks once a second.
async function poll() {
  try {
    takeState(await ask("GET", "page/state"));
    takeResults(await ask("GET", `page/results?after=${number}`));
  } catch (error) {
    lost();
    if (error instanceof Refused && error.status === 401) denied();
  }
  again = setTimeout(poll, AGAIN_MS);
}

function watch() {
  if (!known.isLost && performance.now() - heardAt > SILENT_MS) lost();
  if (!polling && source && source.readyState !== 2 && performance.now() - heardAt > 2 * SILENT_MS) {
    silences += 1;
    polling = silences >= 2;
    connect();
  }
  if (known.state) say("clock", time(known.state.now + (performance.now() - stateAt) / 1000));
  draw();
}

function lost() {
  if (!known.isLost) say("urgent", t("lost_long"));
  known.isLost = true;
  known.last = null;
  draw();
}

async function denied() {
  if (known.isDenied) return;
  known.isDenied = true;
  await ask("DELETE", "page/session").catch(() => null);
  openSettings(t("log_in_needed"));
}

function takeState(state, isHeard = true) {
  heardAt = stateAt = performance.now();
  known.isDenied = false;
  const before = known.state?.station;
  known.state = state;
  setZone(state.zone, state.offset_min);
  known.may = (role) => !kiosk && may(state.role, role);
  if (isHeard) {
    if (known.isLost) { say("urgent", ""); silences = 0; }
    known.isLost = false;
  }
  const now = state.station;
  if (!now.connected || now.state === "FAULT" || (before && before.recipe !== now.recipe)) known.last = null;
  wantPicture(state);
  draw();
}

function takeResults(results) {
  heardAt = performance.now();
  const fresh = results.filter((one) => one.number > number || results.at(-1).number < number);
  if (fresh.length === 0) return;
  number = fresh.at(-1).number;
  known.results = [...known.results, ...fresh].slice(-KEPT);
  const newest = fresh.at(-1), state = known.state;
  const age = state ? state.now - newest.at : Infinity;
  if (!known.isLost && state.station.connected && state.station.state !== "FAULT" && age < 10) {
    known.last = newest;
    known.lastAt = performance.now() - Math.max(0, age) * 1000;
    if (newest.state !== "ACCEPT") say("announce", `${t(`state_${newest.state}`)} ${newest.part_id ?? ""}`);
  }
  wantPicture(state);
  if (fresh.some((one) => one.state !== "ACCEPT")) showKeptSoon();
  draw();
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; showOperate(known); showProve(known); showChallenge(); showWho(); });
}

// --- settings and log-in

const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window */ } };

function showWho() {
  const state = known.state;
  if (!state) return;
  const isIn = state.may_log_in && state.who !== "kiosk";
  say("who", t("you_are", { who: state.who, role: t(`role_${state.role}`) }));
  $("log-in").hidden = !state.may_log_in || isIn;
  $("log-out").hidden = !isIn;
}

function openSettings(text) {
  say("log-in-wrong", text ?? "");
  if (!$("settings").open) $("settings").showModal();
}

function look(name) {
  document.documentElement.dataset.theme = name;
  store("theme", name);
}

async function startSettings() {
  const languages = await ask("GET", "page/languages");
  $("language").replaceChildren(...Object.entries(languages).map(([code, name]) => h("option", { value: code }, name)));
  const wanted = [stored("language"), ...navigator.languages, ...navigator.languages.map((one) => one.slice(0, 2)), "en"];
  $("language").value = wanted.find((one) => one in languages);
  await speak($("language").value);
  $("theme").value = stored("theme") ?? "auto";
  look($("theme").value);
  $("language").onchange = async () => { await speak($("language").value); store("language", language()); draw(); };
  $("theme").onchange = () => { look($("theme").value); draw(); };
  $("open-settings").onclick = () => openSettings();
  $("settings-close").onclick = () => $("settings").close();
  $("log-in").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await ask("POST", "page/session", { token: $("token").value.trim() });
      $("settings").close();
      connect();
    } catch (error) {
      say("log-in-wrong", error instanceof Refused && error.status < 500 ? t(error.status === 429 ? "log_in_later" : "log_in_wrong") : t("no_answer"));
    }
    $("token").value = "";
  };
  $("log-out").onclick = () => act($("log-out"), async () => {
    await ask("DELETE", "page/session");
    $("settings").close();
    note(t("logged_out"));
    connect();
  });
}

function turn() {
  const views = ["operate", "commission", "prove"];
  const view = views.find((name) => location.hash === `#${name}`) ?? "operate";
  for (const name of views) {
    $(name).hidden = name !== view;
    if (name === view) $(`to-${name}`).setAttribute("aria-current", "page");
    else $(`to-${name}`).removeAttribute("aria-current");
  }
  showCommission();
  draw();
}

if (kiosk) document.body.classList.add("kiosk");
await startSettings();
startOperate(known);
startPicture();
startKept(known);
startProve(known);
startCommission(known);
startChallenge(known);
addEventListener("hashchange", turn);
turn();
connect();
setInterval(watch, 250);
document.body.dataset.ready = "yes";
