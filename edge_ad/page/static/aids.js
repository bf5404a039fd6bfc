// The camera's picture with its map: aids to set the camera up, and what of the picture is inspected, drawn on it.

import { $, ask, decimal, fill, h, number, say, t } from "./ui.js";

const EVERY_MS = 400, NEAR_PX = 22, LOOKS = ["brightness", "contrast", "sharpness"];
let page = null, head = null, tag = null, busy = false, asked = 0, shift = null;
let drawn = null; // what is drawn here and not saved: { roi, ignored }
let tool = "look", stroke = null;
const pictures = { photo: null, map: null, reference: null };
let referenceOf = "";

export function startAids(given) {
  page = given;
  for (const name of ["look", "roi", "ignore"]) $(`c-tool-${name}`).onclick = () => pick(name);
  $("c-undo").onclick = () => { const one = regions(); if (one.ignored.length) one.ignored.pop(); else one.roi = null; keep(one); };
  $("c-whole").onclick = () => keep({ roi: null, ignored: [] });
  $("c-forget").onclick = () => editRegions(null, true);
  $("c-save").onclick = async () => { const value = toSave(); await page.save(value, $("c-save")); editRegions(null, true); };
  $("c-own").onclick = async () => { await page.save(null, $("c-own")); editRegions(null, true); };
  $("c-onion").oninput = draw;
  $("c-map").onchange = draw;
  for (const [place, name] of ["x", "y", "w", "h"].entries()) $(`c-roi-${name}`).onchange = () => typed(place);
  $("c-overlap").onchange = () => keep({ ...regions(), overlap: Number($("c-overlap").value) });
  const canvas = $("c-stage");
  canvas.onpointerdown = (event) => { if (tool === "look" || !head) return; canvas.setPointerCapture(event.pointerId); stroke = [at(event)]; event.preventDefault(); };
  canvas.onpointermove = (event) => { if (stroke) { const spot = at(event); if (tool === "roi") stroke[1] = spot; else if (far(stroke.at(-1), spot)) stroke.push(spot); draw(); } };
  canvas.onpointerup = canvas.onpointercancel = () => finish();
  setInterval(look, EVERY_MS);
}

const saved = () => {
  const { session, bundle } = page.state().state;
  return session.regions ?? bundle.regions ?? { roi: null, ignored: [], overlap: null };
};
const regions = () => structuredClone(drawn ?? { roi: saved().roi ?? null, ignored: saved().ignored ?? [], overlap: saved().overlap ?? null });

export function editRegions(value, isForced = false) {
  if (isForced) { drawn = value; if (page.state()) { showAids(); draw(); } }
}

function keep(one) { drawn = one; showAids(); draw(); }

function toSave() {
  const one = regions();
  return { width: head.width, height: head.height, roi: one.roi, ignored: one.ignored, overlap: one.overlap };
}

function pick(name) {
  tool = name;
  for (const one of ["look", "roi", "ignore"]) $(`c-tool-${one}`).setAttribute("aria-pressed", String(one === name));
  $("c-stage").classList.toggle("drawing", name !== "look");
}

// --- drawing with the mouse or a finger; all places are pixels of the camera

const clamp = (value, most) => Math.round(Math.min(most, Math.max(0, value)));

function at(event) {
  const box = $("c-stage").getBoundingClientRect();
  return [clamp(((event.clientX - box.left) / box.width) * head.width, head.width), clamp(((event.clientY - box.top) / box.height) * head.height, head.height)];
}

function far([x, y], [a, b]) {
  const step = (NEAR_PX / 4) * (head.width / $("c-stage").getBoundingClientRect().width);
  return Math.hypot(x - a, y - b) > step;
}

const boxOf = ([[x, y], [a, b]]) => [Math.min(x, a), Math.min(y, b), Math.abs(a - x), Math.abs(b - y)];

function finish() {
  const done = stroke;
  stroke = null;
  if (!done) return;
  const one = regions();
  if (tool === "roi" && done[1]) { const box = boxOf(done); if (box[2] >= 8 && box[3] >= 8) one.roi = box; }
  if (tool === "ignore" && done.length >= 3) one.ignored.push(fewer(done));
  keep(one);
}

// At most 200 corners, evenly taken.
function fewer(line) {
  const step = Math.ceil(line.length / 200);
  return line.filter((_, place) => place % step === 0);
}

function typed(place) {
  if (!head) return;
  const one = regions(), box = one.roi ?? [0, 0, head.width, head.height];
  box[place] = Number($(`c-roi-${"xywh"[place]}`).value);
  box[0] = clamp(box[0], head.width - 8);
  box[1] = clamp(box[1], head.height - 8);
  box[2] = Math.max(8, clamp(box[2], head.width - box[0]));
  box[3] = Math.max(8, clamp(box[3], head.height - box[1]));
  one.roi = box;
  keep(one);
}

// --- the picture

async function look() {
  const told = page.state();
  if (busy || document.hidden || $("commission").hidden || !told) return;
  busy = true;
  try {
    const name = told.state.inspection;
    const answer = await fetch(`page/preview/${encodeURIComponent(name)}`, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (answer.status === 200) { tag = answer.headers.get("ETag"); await take(new Uint8Array(await answer.arrayBuffer())); }
    if (referenceOf !== page.path()) { referenceOf = page.path(); pictures.reference = await load(`${page.path()}/reference.jpg`); shift = null; }
    if (head && performance.now() - asked > 1500) { asked = performance.now(); shift = (await ask("GET", `${page.path()}/aids`)).shift; }
    if (head) { showAids(); draw(); }
    say("c-no-picture", head ? "" : t("picture_soon"));
  } catch { /* the connection's own watch tells that it is lost */ } finally {
    busy = false;
  }
}

async function take(data) {
  const end = data.indexOf(10);
  const next = JSON.parse(new TextDecoder().decode(data.subarray(0, end)));
  pictures.photo = await createImageBitmap(new Blob([data.subarray(end + 1, end + 1 + next.picture)], { type: "image/jpeg" }));
  const map = data.subarray(end + 1 + next.picture);
  pictures.map = map.length ? await createImageBitmap(new Blob([map], { type: "image/png" })) : null;
  head = next;
}

async function load(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  return answer.ok ? createImageBitmap(await answer.blob()) : null;
}

function draw() {
  if (!head || !page.state()) return;
  const canvas = $("c-stage"), pen = canvas.getContext("2d"), { width, height } = head;
  const side = Math.min(1400, Math.max(width, height)), scale = side / Math.max(width, height);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.maxWidth = `calc(70vh * ${width / height})`;
  pen.drawImage(pictures.photo, 0, 0, canvas.width, canvas.height);
  const one = regions();
  pen.save();
  inspected(pen, one, scale);
  if (pictures.map && $("c-map").checked) { pen.globalAlpha = 1; pen.drawImage(pictures.map, 0, 0, canvas.width, canvas.height); }
  pen.restore();
  const share = Number($("c-onion").value) / 100;
  if (share && pictures.reference) { pen.globalAlpha = share; pen.drawImage(pictures.reference, 0, 0, canvas.width, canvas.height); pen.globalAlpha = 1; }
  shade(pen, one, scale, canvas);
  if (stroke) line(pen, tool === "roi" && stroke[1] ? corners(boxOf(stroke)) : stroke, scale, "#fff", tool === "roi");
}

const corners = ([x, y, w, h2]) => [[x, y], [x + w, y], [x + w, y + h2], [x, y + h2]];

function trace(pen, points, scale) {
  points.forEach(([x, y], place) => (place ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
  pen.closePath();
}

// What is left of the map: only what is inspected.
function inspected(pen, one, scale) {
  pen.beginPath();
  trace(pen, corners(one.roi ?? [0, 0, head.width, head.height]), scale);
  for (const area of one.ignored) trace(pen, area, scale);
  pen.clip("evenodd");
}

function shade(pen, one, scale, canvas) {
  pen.fillStyle = "rgb(0 0 0 / .62)";
  if (one.roi) { pen.beginPath(); pen.rect(0, 0, canvas.width, canvas.height); trace(pen, corners(one.roi), scale); pen.fill("evenodd"); line(pen, corners(one.roi), scale, "#4cf", true); }
  for (const area of one.ignored) { pen.beginPath(); trace(pen, area, scale); pen.fill(); line(pen, area, scale, "#fb4", true); }
}

function line(pen, points, scale, colour, isClosed) {
  for (const [width, ink] of [[6, "#000"], [3, colour]]) {
    pen.beginPath();
    points.forEach(([x, y], place) => (place ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
    if (isClosed) pen.closePath();
    pen.lineWidth = width;
    pen.strokeStyle = ink;
    pen.stroke();
  }
}

// --- in words and figures

export function showAids() {
  const told = page.state();
  if (!told) return;
  const { bundle, session } = told.state, one = regions(), isDrawn = drawn !== null, mayChange = page.may();
  const rows = !head ? [] : LOOKS.map((name) => [name, head.looks?.[name] ?? null, bundle.seen[name] ?? null, bundle.limits[name] ?? null]);
  fill("c-looks", [rows, shift, isDrawn], () => [...rows.map(looks), position()].filter(Boolean));
  const box = one.roi ?? (head ? [0, 0, head.width, head.height] : ["", "", "", ""]);
  for (const [place, name] of ["x", "y", "w", "h"].entries()) if (document.activeElement !== $(`c-roi-${name}`)) $(`c-roi-${name}`).value = box[place];
  $("c-tool-ignore").disabled = !bundle.has_map;
  $("c-overlap-row").hidden = one.overlap === null || one.overlap === undefined;
  if (document.activeElement !== $("c-overlap")) $("c-overlap").value = one.overlap ?? "";
  $("c-save").disabled = $("c-forget").disabled = !isDrawn || !head;
  $("c-own").hidden = session.regions === null || !mayChange;
  const text = isDrawn ? "c_regions_drawn" : session.regions ? "c_regions_waiting" : one.roi || one.ignored.length ? "c_regions_bundle" : "c_regions_whole";
  say("c-regions-note", t(text, { count: number(one.ignored.length) }));
}

function looks([name, now, seen, limit]) {
  const isOut = now !== null && limit && ((limit.lowest !== null && now < limit.lowest) || (limit.highest !== null && now > limit.highest));
  const isOdd = now !== null && seen && (now < seen[0] || now > seen[2]);
  const hint = !isOdd ? "" : t(`c_${name}_${now < seen[0] ? "low" : "high"}`);
  return h("li", { "data-well": isOut ? "no" : isOdd ? "odd" : seen ? "yes" : "unknown" }, h("strong", {}, t(name)), h("span", {}, now === null ? "–" : decimal(now)),
    h("span", { class: "small" }, seen ? t("c_usual", { low: decimal(seen[0]), middle: decimal(seen[1]), high: decimal(seen[2]) }) : t("c_no_reference")), hint || isOut ? h("p", { class: isOut ? "wrong" : "" }, isOut ? `${t("c_outside")} ${hint}` : hint) : null);
}

function position() {
  if (!head) return null;
  const isNear = shift && Math.hypot(shift.x, shift.y) < 0.01 * Math.max(head.width, head.height);
  const where = !shift ? t("c_position_unknown") : isNear ? t("c_position_good") : [Math.round(shift.x) ? t(shift.x > 0 ? "c_right" : "c_left", { px: number(Math.abs(Math.round(shift.x))) }) : "", Math.round(shift.y) ? t(shift.y > 0 ? "c_down" : "c_up", { px: number(Math.abs(Math.round(shift.y))) }) : ""].filter(Boolean).join(", ");
  const focus = shift ? t("c_focus", { share: number(Math.round(100 * shift.sharpness)) }) : "";
  return h("li", { "data-well": isNear ? "yes" : shift ? "odd" : "unknown" }, h("strong", {}, t("c_position")), h("span", {}, where), h("span", { class: "small" }, focus));
}
