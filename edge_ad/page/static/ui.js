// What all views share: elements, texts, numbers, times, and requests. Nothing here makes HTML out of text.

export const $ = (id) => document.getElementById(id);

export function h(tag, props = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
    else if (name in one && typeof value !== "string") one[name] = value;
    else one.setAttribute(name, value);
  }
  one.append(...children.filter((child) => child !== null && child !== undefined));
  return one;
}

// Puts a text where it is not there already, so that a screen reader does not read it again.
export function say(id, text) {
  const one = typeof id === "string" ? $(id) : id;
  if (one.textContent !== text) one.textContent = text;
}

// Rebuilds the children only where what they are made of has changed.
export function fill(id, facts, make) {
  const one = $(id);
  const key = JSON.stringify([language(), facts]);
  if (one.dataset.key === key) return;
  const focused = one.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  one.dataset.key = key;
  one.replaceChildren(...make());
  if (focused) [...one.querySelectorAll("[data-name]")].find((child) => child.dataset.name === focused)?.focus();
}

// --- texts

let texts = {};
let chosen = "en";
let formats = "en"; // the language as it is spoken where the browser is, such as en-GB

export const language = () => chosen;

export async function speak(code) {
  const answer = await fetch(`page/files/${encodeURIComponent(code)}.json`);
  if (!answer.ok) throw new Error(`no texts of ${code}`);
  texts = await answer.json();
  chosen = code;
  formats = navigator.languages.find((one) => one === code || one.startsWith(`${code}-`)) ?? code;
  document.documentElement.lang = code;
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of document.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
}

export const has = (key) => key in texts;

export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// A word of the station in this language; one that is not in the table stays as it is.
export const word = (prefix, value) => (has(`${prefix}_${value}`) ? t(`${prefix}_${value}`) : String(value ?? "").replaceAll("_", " "));

// Why a calibration promises nothing; what the station says in English is told in the language of the page.
export function doubtOf(text) {
  const byHand = /^The threshold was set by hand by (.+?): (.*)$/s.exec(text ?? "");
  return byHand ? t("doubt_by_hand", { who: byHand[1], reason: byHand[2] }) : text ?? "";
}

export const number = (value) => new Intl.NumberFormat(formats).format(value);
export const decimal = (value) => (value === null || value === undefined ? "–" : new Intl.NumberFormat(formats, { maximumSignificantDigits: 4 }).format(value));
// Nearly all is not all: 99.8 % is not rounded to 100 %.
export const percent = (value) => new Intl.NumberFormat(formats, { style: "percent", maximumSignificantDigits: value >= 0.995 && value < 1 ? 3 : 2 }).format(value);
// A bound is rounded up, and so never promises more than it is.
export function percentUp(value) {
  const digits = value > 0 ? Math.max(0, 1 - Math.floor(Math.log10(value * 100))) : 0;
  return percent(Math.min(1, Math.ceil(value * 100 * 10 ** digits - 1e-9) / 10 ** digits / 100));
}

// --- times, in the zone of the station, whatever the browser thinks

const zone = { name: null, offset: 0 };

export function setZone(name, offset) {
  zone.name = name;
  zone.offset = offset;
}

export function time(seconds, options = { hour: "2-digit", minute: "2-digit", second: "2-digit" }, as = formats) {
  const when = new Date(seconds * 1000);
  try {
    if (zone.name) return new Intl.DateTimeFormat(as, { ...options, timeZone: zone.name }).format(when);
  } catch { /* a zone that this browser does not know */ }
  return new Intl.DateTimeFormat(as, { ...options, timeZone: "UTC" }).format(new Date(when.getTime() + zone.offset * 60000));
}

// Days as 2026-11-27 in every language: 11/12/26 is two days. Sweden writes them so.
export const dateTime = (seconds) => time(seconds, { dateStyle: "short", timeStyle: "medium" }, "sv");

// --- requests

export class Refused extends Error {
  constructor(status, reason, detail, names = {}) {
    super(detail);
    this.status = status;
    this.reason = reason;
    this.names = names;
  }
}

export async function ask(method, path, body) {
  const options = { method, headers: {}, signal: AbortSignal.timeout(20000) };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.reason ?? "", problem.detail ?? answer.statusText, problem.names);
  }
  return answer.status === 204 ? null : answer.json();
}

let hiding = 0;

export function note(text) {
  clearTimeout(hiding);
  $("note").hidden = false;
  say("note", text);
  hiding = setTimeout(() => { $("note").hidden = true; }, 8000);
}

// Carries something out for a button, which cannot be pressed again meanwhile.
export async function act(button, what) {
  button.disabled = true;
  try {
    await what();
  } catch (error) {
    note(error instanceof Refused ? t("refused", { why: has(`refused_${error.reason}`) ? t(`refused_${error.reason}`, error.names) : error.message }) : t("no_answer"));
  } finally {
    button.disabled = false;
  }
}

const ROLES = ["viewer", "operator", "supervisor", "engineer"];
export const may = (role, needed) => ROLES.indexOf(role) >= ROLES.indexOf(needed);
