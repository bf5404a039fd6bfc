// The last rejects as small pictures; each opens large, and a person says whether it was truly bad.

import { $, act, ask, dateTime, decimal, fill, h, say, t, time, word } from "./ui.js";

const SHOWN = 12, PAUSE_MS = 1500;
let due = 0, open = null, known = null, items = [];

export function startKept(all) {
  known = all;
  $("kept-close").onclick = () => $("kept").close();
  $("found-bad").onclick = () => judge($("found-bad"), "bad");
  $("found-good").onclick = () => judge($("found-good"), "good");
  $("found-nothing").onclick = () => judge($("found-nothing"), null);
  document.addEventListener("visibilitychange", () => showKeptSoon());
  showKeptSoon(0);
  setInterval(() => showKeptSoon(), 20000);
}

export function showKeptSoon(pause = PAUSE_MS) {
  clearTimeout(due);
  due = setTimeout(refresh, pause);
}

async function refresh() {
  if (document.hidden) return;
  try {
    items = await ask("GET", `page/kept?limit=${SHOWN}`);
    say("no-rejects", items.length ? "" : t("no_rejects"));
  } catch (error) {
    if (error.reason === "no_evidence") say("no-rejects", t("no_evidence"));
    return;
  }
  fill("thumbs", items, () => items.map(thumb));
}

const path = (one, size) => `page/kept/${encodeURIComponent(one.inspection)}/${encodeURIComponent(one.name)}/${size}.jpg`;
export const titleOf = (one) => `${one.part_id || "–"} · ${t(`state_${one.state}`)}`;

export function thumb(one) {
  const found = one.judged ? t(one.judged === "bad" ? "truly_bad" : "falsely_rejected") : "";
  const button = h("button", { type: "button", class: "thumb", "data-name": one.name, "data-judged": one.judged ?? "" },
    h("img", { src: path(one, "small"), alt: "", loading: "lazy", width: "120", height: "90" }),
    h("span", {}, titleOf(one)), h("span", { class: "small" }, `${time(one.captured_at)}${found ? ` · ${found}` : ""}`));
  button.onclick = () => show(one);
  return h("li", {}, button);
}

export function show(one) {
  open = one;
  say("kept-title", titleOf(one));
  $("kept-picture").src = path(one, "large");
  $("kept-picture").alt = `${titleOf(one)}, ${t("score_of", { score: decimal(one.score), threshold: decimal(one.threshold) })}`;
  const why = one.reason ? `${word("reason", one.reason)} · ` : "";
  say("kept-facts", `${why}${t("score_of", { score: decimal(one.score), threshold: decimal(one.threshold) })} · ${dateTime(one.captured_at)} · ${one.recipe ?? ""} · ${one.inspection}`);
  tell();
  if (!$("kept").open) $("kept").showModal();
}

function tell() {
  const { judged, judged_by: who } = open;
  say("kept-found", judged ? t("found", { what: t(judged === "bad" ? "truly_bad" : "falsely_rejected"), who }) : "");
  $("judge").hidden = !known.may("operator");
  $("found-bad").setAttribute("aria-pressed", String(judged === "bad"));
  $("found-good").setAttribute("aria-pressed", String(judged === "good"));
  $("found-nothing").hidden = !judged;
}

function judge(button, judged) {
  act(button, async () => {
    const told = await ask("PUT", `page/kept/${encodeURIComponent(open.inspection)}/${encodeURIComponent(open.name)}/finding`, { judged });
    open = { ...open, ...told };
    tell();
    showKeptSoon(0);
    document.dispatchEvent(new Event("judged"));
  });
}
