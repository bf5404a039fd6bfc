// Proves the station: challenge parts one after the other, replays of the set, and the figures of the measurement system.

import { $, act, ask, dateTime, decimal, fill, h, language, note, number, percent, percentUp, say, t, word } from "./ui.js";

const SHOWN = 20, AGAIN_MS = 1000, TRIES = 5;
const BUTTONS = { "challenge-begin": "begin", "challenge-comes": "next", "challenge-cancel": "cancel" };
let known = null, proved = null, seen = "", due = 0, isShown = false, drawn = "";

export function startChallenge(all) {
  known = all;
  for (const [id, action] of Object.entries(BUTTONS)) {
    $(id).onclick = () => {
      if (action === "cancel" && !confirm(t("challenge_cancel_sure"))) return;
      const part = action === "next" ? facts()?.next : undefined;
      act($(id), () => ask("POST", "page/challenge", { action, ...(part ? { part } : {}) }));
    };
  }
  $("challenge-replay").onclick = () => act($("challenge-replay"), () => ask("POST", "page/challenge", { action: "replay" }));
  $("challenge-replay-3").onclick = () => act($("challenge-replay-3"), () => ask("POST", "page/challenge", { action: "replay", runs: 3 }));
}

// Who it was, without the controller and the address by which it was asked.
const person = (who) => (who ?? "–").replace(/^[^:@]*:/, "").replace(/@[^@]*$/, "");
const facts = () => known.state?.station.snapshot?.challenge ?? null;
const isHeard = () => !known.isLost && known.state?.station.connected;

export function showChallenge() {
  const before = isShown;
  isShown = !$("prove").hidden;
  if (!isShown || !known.state) return;
  const now = facts();
  const ended = JSON.stringify([now?.last_at, now?.replay_at]);
  if (!before || ended !== seen) {
    seen = ended;
    fetchSoon(before ? AGAIN_MS : 0);
  }
  if (drawn !== language()) drawProved();
  const may = known.may("operator") && isHeard();
  for (const id of [...Object.keys(BUTTONS), "challenge-replay", "challenge-replay-3"]) $(id).hidden = true;
  $("challenge-status").dataset.locked = now?.locked ? "yes" : "no";
  if (!now) {
    say("challenge-status", t("challenge_none"));
    say("challenge-next", "");
    fill("challenge-parts", [], () => []);
    say("challenge-set", "");
    return;
  }
  const running = Boolean(now.running_by), parts = now.parts ?? [];
  $("challenge-begin").hidden = !may || running || parts.length === 0;
  $("challenge-comes").hidden = !may || !running || Boolean(now.is_armed);
  $("challenge-cancel").hidden = !may || !running;
  $("challenge-replay").hidden = $("challenge-replay-3").hidden = !may || Boolean(now.is_replaying);
  say("challenge-status", statusOf(now, parts));
  say("challenge-next", running ? nextOf(now, parts) : "");
  fill("challenge-parts", [parts, now.next], () => (parts.length ? [partTable(parts, now.next)] : []));
  say("challenge-set", setOf(now));
}

function statusOf(now, parts) {
  const said = [];
  if (now.kept) said.push(t("challenge_not_kept", { why: now.kept }));
  if (now.locked) said.push(t("challenge_locked", { why: now.locked }));
  if (now.running_by) said.push(t("challenge_by", { who: person(now.running_by) }));
  if (parts.length === 0) return said.join(" ");
  said.push(now.last ? t("challenge_last", { what: t(`outcome_${now.last}`), when: dateTime(now.last_at), who: person(now.last_by) }) : t("challenge_never"));
  if (now.last === "failed" && !now.running_by) said.push(t("challenge_failed"));
  if (now.is_due) said.push(t("challenge_is_due"));
  else if (now.due_at) said.push(t("challenge_due", { when: dateTime(now.due_at) }));
  return said.join(" ");
}

function nextOf(now, parts) {
  const one = parts.find((part) => part.name === now.next);
  const about = { part: now.next, label: t(one?.is_bad ? "label_bad" : "label_good"), button: t("challenge_comes") };
  const again = now.again ? `${t("challenge_again", { why: word("reason", now.again) })} ` : "";
  return again + t(now.is_armed ? "challenge_armed" : "challenge_next", about);
}

function setOf(now) {
  if (now.is_replaying) return t("challenge_replaying");
  if (!now.replay) return "";
  const why = (now.replay_why ?? []).map((one) => word("why", one)).join(", ");
  return t("challenge_replayed", { what: t(`outcome_${now.replay}`), when: dateTime(now.replay_at), why }) + (now.replay_detail ? ` ${now.replay_detail}` : "");
}

const rows = (head, lines) => h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, ...head.map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, ...lines)));
const cells = (...values) => h("tr", {}, ...values.map((one) => h("td", {}, one)));
const isRight = (one) => (one.state === "ACCEPT") !== Boolean(one.is_bad);

function partTable(parts, next) {
  return rows([t("part"), t("label"), t("result")], parts.map((one) => {
    const why = one.reason ? ` (${word("reason", one.reason)})` : "";
    const row = cells(one.name, t(one.is_bad ? "label_bad" : "label_good"), one.state ? `${t(`state_${one.state}`)}${why} ${t(isRight(one) ? "is_right" : "is_wrong")}` : "–");
    if (one.name === next) row.setAttribute("aria-current", "step");
    if (one.state && !isRight(one)) row.dataset.wrong = "yes";
    return row;
  }));
}

// --- what was proved before

// The newest of them may not be on the disk yet, and is asked for again.
function fetchSoon(pause, tries = TRIES) {
  clearTimeout(due);
  due = setTimeout(async () => {
    try {
      proved = await ask("GET", `page/challenge?limit=${SHOWN}`);
    } catch (error) {
      if (error.reason === "proof") note(error.message);
      return;
    }
    drawProved();
    const now = facts(), newest = proved.proofs[0]?.at ?? 0;
    if (tries > 0 && newest < Math.max(now?.last_at ?? 0, now?.replay_at ?? 0)) fetchSoon(AGAIN_MS, tries - 1);
    else document.dispatchEvent(new Event("proved"));
  }, pause);
}

function drawProved() {
  drawn = language();
  if (!proved) return;
  fill("proved", proved, () => [h("section", {}, h("h3", {}, t("last_proofs")), !proved.proofs.length && facts()?.last_at ? h("p", {}, t("challenge_no_file")) : proofTable(proved.proofs))]);
}

export function studyTable(one) {
  const { system } = one;
  const line = (key, rate, wanted, shown) => cells(
    t(key), rate.of ? t("between", { rate: percent(rate.count / rate.of), low: percent(rate.low), high: percentUp(rate.high) }) : "–",
    wanted, wanted ? t(`grade_${system.grades[key]}`) : "", rate.of && shown !== undefined ? t(shown ? "shown_yes" : "shown_no") : "");
  return h("section", {}, h("h3", {}, t("study", { kind: t(`kind_${one.kind}`), recipe: one.recipe })),
    h("p", { class: "small" }, t("study_of", { parts: number(system.parts), bad: number(system.bad_parts), runs: number(system.runs), proofs: number(one.proofs), since: dateTime(one.since) })),
    rows([t("figure"), t("result"), t("wanted"), t("grade"), t("by_limits")], [
      line("effectiveness", system.effectiveness, t("at_least", { rate: percent(0.9) }), system.shown.effectiveness),
      line("miss_rate", system.misses, t("most", { rate: percent(0.02) }), system.shown.miss_rate),
      line("false_alarm_rate", system.false_alarms, t("most", { rate: percent(0.05) }), system.shown.false_alarm_rate),
      line("repeatable", system.repeatable, ""),
      cells(t("kappa"), decimal(system.kappa), `> ${decimal(0.75)}`, "", ""),
    ]), h("p", { class: "small" }, t("study_note")));
}

export function proofTable(proofs) {
  if (proofs.length === 0) return h("p", {}, t("no_proofs"));
  return rows([t("when"), t("what"), t("result"), t("by")], proofs.map((one) => {
    const why = one.why.map((name) => word("why", name)).join(", ");
    const row = cells(dateTime(one.at), `${t(`kind_${one.kind}`)}, ${one.recipe}${why ? `: ${why}` : ""}`, `${t(`outcome_${one.outcome}`)}${one.detail ? ` – ${one.detail}` : ""}`, one.who ? person(one.who) : "");
    if (one.outcome === "failed" || one.outcome === "error") row.dataset.wrong = "yes";
    return row;
  }));
}
