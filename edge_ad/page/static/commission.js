// Commissions an inspection: what it is calibrated for, good parts that are taught, thresholds. The camera is in aids.js.

import { $, act, ask, dateTime, decimal, doubtOf, fill, h, note, number, percent, percentUp, say, t, time } from "./ui.js";
import { editRegions, showAids, startAids } from "./aids.js";
import { thumb } from "./kept.js";

const EVERY_MS = 1000, QUIET_MS = 400;
let known = null, places = null, told = null, asking = false, due = 0, meaningDue = 0, touched = false;

const path = (place = chosen()) => `page/commission/${encodeURIComponent(place.recipe)}/${encodeURIComponent(place.inspection)}`;
const chosen = () => places?.[$("c-place").selectedIndex] ?? null;
const version = () => told.state.session.version;

export function startCommission(all) {
  known = all;
  startAids({ state: () => told, save: (regions, button) => change(button, "PUT", "regions", { regions }), may: () => known.may("engineer"), path });
  $("c-place").onchange = () => { told = null; touched = false; editRegions(null, true); refresh(); };
  $("c-rate").onchange = counts;
  $("c-teach").onsubmit = (event) => {
    event.preventDefault();
    if (told.state.parts > 0 && !confirm(t("c_teach_sure", { count: number(told.state.parts) }))) return;
    change($("c-begin"), "POST", "teach", { count: Number($("c-count").value), ...aim() });
  };
  $("c-stop").onclick = () => change($("c-stop"), "POST", "counting", { collecting: !told.state.session.collecting });
  $("c-calibrate").onclick = () => change($("c-calibrate"), "POST", "calibrate", aim());
  $("c-confirm").onclick = () => confirm(t("c_confirm_sure")) && change($("c-confirm"), "POST", "confirm", {});
  $("c-value").oninput = () => { touched = true; clearTimeout(meaningDue); meaningDue = setTimeout(meaning, QUIET_MS); drawScores(); };
  $("c-set").onsubmit = (event) => {
    event.preventDefault();
    change($("c-set-go"), "POST", "threshold", { value: Number($("c-value").value), reason: $("c-reason").value.trim() }, () => { $("c-reason").value = ""; touched = false; });
  };
  $("c-back").onsubmit = (event) => {
    event.preventDefault();
    change($("c-back-go"), "POST", "back", { reason: $("c-back-reason").value.trim() }, () => { $("c-back-reason").value = ""; });
  };
  $("c-out-cancel").onclick = () => $("c-out").close();
  setInterval(refresh, EVERY_MS);
}

const aim = () => ({ alpha: Number($("c-rate").value), confidence: 0.95 });

// Every change says in which version it was seen: whoever comes second is told who was first.
function change(button, method, what, body, done) {
  return act(button, async () => {
    try {
      told = await ask(method, `${path()}/${what}`, { version: version(), ...body });
      done?.();
    } finally {
      await refresh();
    }
  });
}

export function showCommission() {
  if (!$("commission").hidden) { clearTimeout(due); due = setTimeout(refresh, 0); }
}

async function refresh() {
  if (asking || document.hidden || $("commission").hidden || known.isLost) return;
  asking = true;
  try {
    if (!places?.length) places = await ask("GET", "page/commission");
    fill("c-place", places, () => places.map((one) => h("option", {}, `${one.recipe} · ${one.inspection}`)));
    for (const one of document.querySelectorAll("#commission > section:not(#c-head)")) one.hidden = places.length === 0;
    $("c-places").hidden = places.length === 0;
    if (places.length === 0) { say("c-status", t("c_none")); return; }
    const place = chosen();
    const answer = await ask("GET", path(place));
    if (place === chosen()) { told = answer; draw(); }
  } catch { /* the connection's own watch tells that it is lost */ } finally {
    asking = false;
  }
}

function draw() {
  const { state, is_active: isActive, work } = told;
  const mayChange = known.may("engineer"), isBusy = work?.is_going ?? false;
  showHead(state, isActive, work);
  showAids();
  showTeaching(state, mayChange, isBusy);
  showProposal(state, mayChange, isBusy);
  showThreshold(state, mayChange, isBusy);
  for (const one of document.querySelectorAll("#commission .needs")) one.hidden = !mayChange;
  $("c-role").hidden = mayChange;
}

function showHead(state, isActive, work) {
  const { bundle, session } = state;
  const promise = bundle.doubt ? `${t("promise_doubted")}. ${doubtOf(bundle.doubt)}` : bundle.rate === null ? t("promise_none") : t("promise", { rate: percent(bundle.rate), confidence: percent(bundle.confidence ?? 0), n: number(bundle.normals) });
  const tried = state.steps.at(-1), isTried = ["SWITCHED", "WATCHED"].includes(tried?.step);
  const inForce = bundle.threshold === null ? t("c_uncalibrated") : t("c_calibrated", { title: bundle.title, threshold: decimal(bundle.threshold), promise });
  say("c-status", isTried ? t("c_tried", { title: tried.bundle }) : bundle.wrong ?? inForce);
  $("c-status").classList.toggle("wrong", !isTried && (bundle.threshold === null || Boolean(bundle.doubt)));
  const notes = [];
  if (!isActive && known.state?.station.connected) notes.push(t("c_not_active", { recipe: state.recipe }));
  if (state.shared.length) notes.push(t("c_shared", { names: state.shared.join(", ") }));
  if (session.changed_by) notes.push(t("c_changed", { who: session.changed_by, when: dateTime(session.changed_at) }));
  if (work?.is_going) notes.push(t(`c_${work.kind}`, { who: work.by }));
  if (work?.error) notes.push(t("c_failed", { why: work.error }));
  say("c-note", notes.join(" "));
  $("c-note").classList.toggle("wrong", Boolean(work?.error));
  const steps = state.steps;
  const last = steps.at(-1), isWrong = ["RETURNED", "REFUSED"].includes(last?.step);
  fill("c-steps", steps, () => steps.map((one) => h("li", { class: one.step === last.step ? "now" : "" }, t(`c_step_${one.step}`))));
  say("c-steps-note", !last ? "" : isWrong ? last.reason ?? "" : `${last.bundle} · ${last.who ?? ""}`);
  $("c-steps-note").classList.toggle("wrong", isWrong);
}

// --- teaching

function counts() {
  const row = told?.state.table.find(([rate]) => rate === Number($("c-rate").value));
  if (row) $("c-count").value = row[1];
}

function showTeaching(state, mayChange, isBusy) {
  const { session, parts, table } = state;
  const before = $("c-rate").value || String(session.alpha);
  fill("c-rate", table, () => table.map(([rate, count]) => h("option", { value: String(rate) }, t("c_rate_of", { rate: percent(rate), count: number(count) }))));
  if ($("c-rate").value !== before && table.some(([rate]) => String(rate) === before)) $("c-rate").value = before;
  if (!$("c-count").value) counts();
  const isOn = session.collecting && parts < session.wanted;
  $("c-bar").max = Math.max(1, session.wanted);
  $("c-bar").value = parts;
  $("c-progress").hidden = session.since === 0;
  say("c-counted", t(isOn ? "c_counting" : "c_counted", { parts: number(parts), wanted: number(session.wanted), when: time(session.since) }));
  $("c-begin").disabled = isBusy || isOn;
  $("c-stop").hidden = !mayChange || session.since === 0 || (!session.collecting && parts >= session.wanted);
  say("c-stop", t(session.collecting ? "c_stop" : "c_go_on"));
  $("c-calibrate").disabled = isBusy || parts === 0;
  $("c-calibrate").classList.toggle("act", parts >= session.wanted && parts > 0);
  fill("c-excluded", [session.excluded, mayChange], () => session.excluded.map((one) => {
    const back = h("button", { type: "button", class: "plain" }, t("c_take_in"));
    back.onclick = () => change(back, "POST", "exclude", { part: one.part, reason: null });
    return h("li", {}, h("span", {}, t("c_out", { part: one.part, who: one.who, reason: one.reason })), mayChange ? back : null);
  }));
}

function showProposal(state, mayChange, isBusy) {
  const { proposal, fits } = state;
  const made = proposal?.type === "proposed" && fits ? proposal : null;
  const refused = proposal?.type === "refused" && fits ? proposal : null;
  $("c-proposal").hidden = !made && !refused;
  $("c-made").hidden = !made;
  if (refused) {
    const few = t("c_too_few", { parts: number(refused.parts), needed: number(refused.needed ?? 0) });
    const rate = refused.rate ? ` ${t("c_enough_for", { rate: percentUp(refused.rate) })}` : "";
    say("c-promise", refused.reason === "too_few" ? few + rate : refused.detail);
  }
  $("c-promise").classList.toggle("wrong", Boolean(refused || made?.doubt));
  if (!made) return;
  say("c-promise", made.doubt ?? t("c_promise", { rate: percent(made.alpha), confidence: percent(made.reached ?? made.confidence), parts: number(made.parts) }));
  const rows = [
    ["c_new_threshold", decimal(made.threshold)], ["c_old_threshold", made.before === null ? "–" : decimal(made.before)],
    ["c_rejected", t("c_of_parts", { count: number(made.rejected), parts: number(made.parts) })],
    ...(made.rejected_before === null ? [] : [["c_rejected_before", t("c_of_parts", { count: number(made.rejected_before), parts: number(made.parts) })]]),
    ["c_rank", number(made.rank)],
  ];
  fill("c-figures", rows, () => rows.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value))));
  const more = made.more.map(([rate, count]) => t("c_more", { count: number(Math.max(0, count - made.parts)), rate: percent(rate) }));
  fill("c-more", more, () => more.map((one) => h("li", {}, one)));
  fill("c-highest", [made.highest, mayChange], () => made.highest.map((one) => {
    const out = h("button", { type: "button", class: "thumb", "data-name": one.part }, h("img", { src: `${path()}/taught/${encodeURIComponent(one.name)}.jpg`, alt: "", loading: "lazy", width: "120", height: "90" }), h("span", {}, one.part), h("span", { class: "small" }, t("score_is", { score: decimal(one.score) })));
    out.onclick = () => takeOut(one);
    out.disabled = !mayChange;
    return h("li", {}, out);
  }));
  $("c-confirm").disabled = isBusy;
}

function takeOut(one) {
  say("c-out-title", one.part);
  $("c-out-picture").src = `${path()}/taught/${encodeURIComponent(one.name)}.jpg`;
  $("c-out-picture").alt = one.part;
  $("c-out-reason").value = "";
  $("c-out-form").onsubmit = (event) => {
    event.preventDefault();
    change($("c-out-go"), "POST", "exclude", { part: one.part, reason: $("c-out-reason").value.trim() }, () => { note(t("c_again")); }).then(() => $("c-out").close());
  };
  $("c-out").showModal();
}

// --- the threshold

function showThreshold(state, mayChange, isBusy) {
  const { bundle, previous } = state;
  $("c-threshold").hidden = bundle.threshold === null;
  if (bundle.threshold === null) return;
  if (!touched && document.activeElement !== $("c-value")) { const now = String(bundle.threshold); if ($("c-value").value !== now) { $("c-value").value = now; meaning(); } }
  $("c-set-go").disabled = isBusy;
  $("c-back").hidden = !mayChange || !previous || previous.threshold === null;
  if (previous?.threshold != null) say("c-before", t("c_before", { threshold: decimal(previous.threshold), title: previous.title, promise: previous.doubt ? doubtOf(previous.doubt) : (previous.rate === null ? t("promise_none") : percent(previous.rate)) }));
  $("c-back-go").disabled = isBusy;
  drawScores();
}

async function meaning() {
  const value = Number($("c-value").value);
  if (!$("c-value").value || !Number.isFinite(value)) return;
  try {
    const one = await ask("GET", `${path()}/threshold?value=${value}`);
    if (Number($("c-value").value) !== value) return;
    const rows = [t("c_normals", { count: number(one.normals.count), of: number(one.normals.of), rate: percent(one.normals.count / one.normals.of) }),
      t("c_kept", { kept: number(one.kept), accepted: number(one.accepted), rejected: number(one.rejected) })];
    if (one.good_accepted) rows.push(t("c_good_accepted", { count: number(one.good_accepted) }));
    fill("c-meaning", [rows, one.bad_accepted], () => [...rows.map((text) => h("li", {}, text)), one.bad_accepted ? h("li", { class: "wrong" }, t("c_bad_accepted", { count: number(one.bad_accepted) })) : null].filter(Boolean));
    fill("c-examples", one.examples, () => one.examples.map((kept) => thumb(kept)));
  } catch { /* told at the next one */ }
}

function drawScores() {
  const canvas = $("c-scores"), box = canvas.getBoundingClientRect(), { bundle } = told.state;
  if (!box.width || !bundle.scores.length) return;
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim(), scale = devicePixelRatio || 1;
  const value = Number($("c-value").value), all = [...bundle.scores, bundle.threshold, value].filter(Number.isFinite);
  const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
  canvas.width = Math.round(box.width * scale);
  canvas.height = Math.round(box.height * scale);
  const pen = canvas.getContext("2d"), bars = 40, heights = Array(bars).fill(0);
  pen.scale(scale, scale);
  const x = (one) => 6 + ((one - low) / span) * (box.width - 12), bottom = box.height - 18;
  for (const one of bundle.scores) heights[Math.min(bars - 1, Math.floor(((one - low) / span) * bars))] += 1;
  const most = Math.max(...heights);
  pen.fillStyle = colour("--soft");
  heights.forEach((count, place) => { const top = (count / most) * (bottom - 8); pen.fillRect(6 + (place * (box.width - 12)) / bars, bottom - top, (box.width - 12) / bars - 1, top); });
  pen.font = "12px system-ui, sans-serif";
  for (const [one, dash, key] of [[bundle.threshold, [6, 4], "--ink"], [value, [], "--reject"]]) {
    if (!Number.isFinite(one)) continue;
    pen.strokeStyle = pen.fillStyle = colour(key);
    pen.lineWidth = 2;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(x(one), 2);
    pen.lineTo(x(one), bottom);
    pen.stroke();
    pen.textAlign = x(one) > box.width / 2 ? "right" : "left";
    pen.fillText(decimal(one), x(one), box.height - 4);
  }
  canvas.setAttribute("aria-label", t("c_scores_say", { n: number(bundle.normals), threshold: decimal(bundle.threshold), value: decimal(value) }));
}
