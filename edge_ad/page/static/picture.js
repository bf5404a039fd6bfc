// The newest frame of an inspection with its map and boxes: fetched when there may be another one.

import { $, decimal, fill, h, say, t, time } from "./ui.js";

const EVERY_MS = 300;
const SVG = "http://www.w3.org/2000/svg";
let tag = null, busy = false, wantedAt = 0, shown = null, due = 0;

export function startPicture() {
  $("map-on").onclick = () => {
    const isOn = $("map-on").getAttribute("aria-pressed") !== "true";
    $("map-on").setAttribute("aria-pressed", String(isOn));
    $("map").hidden = !isOn;
  };
  $("which").onchange = () => { tag = null; fetchPicture(); };
}

export function wantPicture(state) {
  if (!state) return;
  const names = state.previews;
  $("which-row").hidden = names.length < 2;
  fill("which", names, () => names.map((one) => h("option", { value: one }, one)));
  if (names.length === 0) {
    say("no-picture", t(state.has_previews ? "picture_soon" : "picture_none"));
    return;
  }
  if (shown) caption();
  clearTimeout(due);
  due = setTimeout(fetchPicture, Math.max(0, wantedAt + EVERY_MS - performance.now()));
}

async function fetchPicture() {
  const name = $("which").value;
  if (busy || document.hidden || $("operate").hidden || !name) return;
  busy = true;
  wantedAt = performance.now();
  try {
    const answer = await fetch(`page/preview/${encodeURIComponent(name)}`, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (answer.status === 200) {
      tag = answer.headers.get("ETag");
      show(new Uint8Array(await answer.arrayBuffer()));
    }
  } catch { /* the connection's own watch tells that it is lost */ } finally {
    busy = false;
  }
}

function show(data) {
  const end = data.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(data.subarray(0, end)));
  const picture = data.subarray(end + 1, end + 1 + head.picture);
  put("photo", picture, "image/jpeg");
  put("map", data.subarray(end + 1 + head.picture), "image/png");
  $("frame").style.aspectRatio = `${head.width} / ${head.height}`;
  $("boxes").setAttribute("viewBox", `0 0 ${head.width} ${head.height}`);
  $("boxes").replaceChildren(...boxesOf(head));
  say("no-picture", "");
  shown = head;
  caption();
}

function boxesOf(head) {
  const line = Math.max(head.width, head.height) / 200;
  return head.verdict.regions.flatMap(({ box }) => ["under", "over"].map((kind) => {
    const one = document.createElementNS(SVG, "rect");
    const place = { x: box.x - line, y: box.y - line, width: box.width + 2 * line, height: box.height + 2 * line, class: kind, "stroke-width": kind === "under" ? 3 * line : line };
    for (const [name, value] of Object.entries(place)) one.setAttribute(name, value);
    return one;
  }));
}

function caption() {
  const { verdict, part_id: part } = shown;
  const text = t("picture_of", { part, state: t(`state_${verdict.state}`), score: decimal(verdict.score), when: time(verdict.captured_at) });
  say("caption", text);
  $("photo").alt = `${text}. ${t("regions", { count: verdict.regions.length })}`;
}

function put(id, bytes, type) {
  const one = $(id), before = one.src;
  if (bytes.length === 0) one.removeAttribute("src");
  else one.src = URL.createObjectURL(new Blob([bytes], { type }));
  if (before) URL.revokeObjectURL(before);
}
