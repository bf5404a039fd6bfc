// The habits of a shift: its report, to be printed or taken along, and all kept rejects.

import { $, ask, dateTime, decimal, fill, h, language, number, percent, percentUp, Refused, say, t, word } from "./ui.js";
import { proofTable, studyTable } from "./challenge.js";
import { thumb } from "./kept.js";

const SHOWN = 60;
let names = [], report = null, kept = [], isShown = false, drawn = "";

export function startProve() {
  $("report-again").onclick = refresh;
  $("shift").onchange = fetchReport;
  $("report-print").onclick = () => print();
  for (const name of ["judged", "proved"]) document.addEventListener(name, () => { if (isShown) refresh(); });
}

export function showProve() {
  const before = isShown;
  isShown = !$("prove").hidden;
  if (isShown && !before) refresh();
  if (isShown && drawn !== language()) draw();
}

async function refresh() {
  try {
    names = (await ask("GET", "page/shifts")).reverse();
    fill("shift", names, () => names.map((one, place) => h("option", { value: String(one.number) }, place === 0 ? t("now", { since: local(one.since) }) : local(one.since))));
    await fetchReport();
    kept = await ask("GET", `page/kept?limit=${SHOWN}`).catch(() => []);
    draw();
  } catch (error) {
    say("report-wrong", error instanceof Refused ? error.message : t("no_answer"));
  }
}

async function fetchReport() {
  if (!$("shift").value) return;
  const where = `number=${encodeURIComponent($("shift").value)}`;
  $("report-csv").href = `page/shifts/report.csv?${where}`;
  report = await ask("GET", `page/shifts/report.json?${where}`);
  say("report-wrong", "");
  draw();
}

const local = (text) => text.replace("T", " ");
const table = (head, rows) => h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, ...head.map((one) => h("th", { scope: "col" }, one)))), h("tbody", {}, ...rows)));
const cells = (...values) => h("tr", {}, ...values.map((one) => (one instanceof Node ? one : h("td", {}, one))));
const between = (rate) => t("between", { rate: percent(rate.of ? rate.count / rate.of : 0), low: percent(rate.low), high: percentUp(rate.high) });

function draw() {
  drawn = language();
  fill("all-thumbs", kept, () => kept.map(thumb));
  if (!report) return;
  fill("report", report, () => [
    h("h2", {}, `${t("report")}: ${t("report_of", { station: report.station, since: dateTime(report.shift.begin), until: dateTime(report.until) })}`),
    ...report.recipes.flatMap(recipe), ...places(), ...proofs(), ...drift(), ...changes(), h("p", { class: "small" }, t("bounds_note")),
  ]);
}

function recipe(one) {
  const total = one.accepted + one.rejected.count + one.invalid;
  const unseen = Math.max(0, one.rejected.count - one.found.bad - one.found.good);
  const rows = [
    [t("total"), number(total)], [t("state_ACCEPT"), number(one.accepted)], [t("state_REJECT"), number(one.rejected.count)], [t("state_INVALID"), number(one.invalid)],
    ...(Object.keys(one.challenges).length ? [[t("challenge_count"), Object.entries(one.challenges).map(([state, count]) => `${t(`state_${state}`)} ${number(count)}`).join(", ")]] : []),
    [t("reject_rate"), between(one.rejected)], [t("truly_bad"), number(one.found.bad)], [t("falsely_rejected"), number(one.found.good)], [t("unseen_count"), number(unseen)],
    [t("false_rate"), between(one.false_rejects)], [t("faults"), number(one.faults)], [t("lost_frames"), number(one.lost_frames)],
    [t("latency"), one.latency_mean_ms === null ? "–" : `${decimal(one.latency_mean_ms)} ms, ${decimal(one.latency_max_ms)} ms`],
  ];
  const reasons = [...Object.entries(one.reasons).map(([name, count]) => [word("reason", name), count]), ...Object.entries(one.refused).map(([name, count]) => [word("refused", name), count])].sort((a, b) => b[1] - a[1]);
  return [
    h("section", {}, h("h3", {}, `${t("recipe")} ${one.recipe}`), table([t("what"), t("count")], rows.map(([name, value]) => cells(name, value)))),
    h("section", {}, h("h3", {}, t("reasons")), reasons.length ? table([t("reason"), t("count"), t("cumulated"), ""], pareto(reasons)) : h("p", {}, t("no_reasons"))),
  ];
}

// The most frequent first, with the share that it and those before it have.
function pareto(reasons) {
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  let until = 0;
  return reasons.map(([name, count]) => { until += count; return cells(name, number(count), percent(until / all), bar(count, reasons[0][1])); });
}

function proofs() {
  if (!report.proofs.length && !report.studies.length) return [];
  return [h("section", {}, h("h3", {}, t("proofs")), proofTable(report.proofs)), ...report.studies.map(studyTable)];
}

function drift() {
  const known = Object.entries(report.drift);
  return known.length ? [h("section", {}, h("h3", {}, t("drift_now")), table([t("inspection"), t("kind_drift")], known.map(([name, state]) => cells(name, t(`drift_${state}`)))))] : [];
}

function bar(count, most) {
  const one = h("span", { class: "bar" });
  one.style.width = `${(100 * count) / most}%`;
  const cell = h("td", { class: "wide" }, one);
  cell.setAttribute("aria-hidden", "true");
  return cell;
}

function places() {
  return [...new Set(report.places.map((one) => one.inspection))].map((name) => {
    const here = report.places.filter((one) => one.inspection === name);
    const most = Math.max(...here.map((one) => one.count));
    const rows = [0, 1, 2].map((row) => h("tr", {}, ...[0, 1, 2].map((column) => {
      const count = here.find((one) => one.row === row && one.column === column)?.count ?? 0;
      const cell = h("td", {}, number(count));
      cell.style.boxShadow = `inset 0 0 0 ${Math.round((8 * count) / most)}px var(--reject)`;
      return cell;
    })));
    const caption = h("caption", { class: "small" }, t("places_of", { inspection: name, count: number(here.reduce((sum, one) => sum + one.count, 0)) }));
    return h("section", {}, h("h3", {}, t("places")), h("table", { class: "ninths" }, caption, h("tbody", {}, ...rows)));
  });
}

function changes() {
  const rows = report.changes.map((one) => cells(local(one.time), [word("action", one.action), one.target, one.after && one.after !== one.target ? `→ ${one.after}` : "", one.step ? `(${word("c_step", one.step)})` : ""].filter(Boolean).join(" "), one.who ?? ""));
  return [h("section", {}, h("h3", {}, t("changes")), rows.length ? table([t("when"), t("what"), t("by")], rows) : h("p", {}, t("no_changes")))];
}
