// Scores against their thresholds, the newest at the right: circles accept, crosses reject, triangles are invalid.

import { decimal, t } from "./ui.js";

const SHOWN = 120;
let drawn = "";

export function drawChart(canvas, results, inspections) {
  const shown = results.slice(-SHOWN);
  const box = canvas.getBoundingClientRect();
  const style = getComputedStyle(canvas);
  const key = [shown.at(-1)?.number, shown.length, box.width, box.height, document.documentElement.dataset.theme, document.documentElement.lang, style.color].join();
  if (key === drawn || box.width === 0) return;
  drawn = key;
  const last = shown.findLast((one) => one.score !== null);
  const rejected = shown.filter((one) => one.state === "REJECT").length;
  canvas.setAttribute("aria-label", t("chart_says", { count: shown.length, rejected, score: decimal(last?.score), threshold: decimal(last?.threshold) }));
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(box.width * scale);
  canvas.height = Math.round(box.height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const fallback = Object.values(inspections).map((one) => one.threshold);
  const values = shown.flatMap((one) => [one.score, one.threshold]).filter((one) => one !== null);
  paint(pen, box, shown, range(values.length ? values : [0, ...fallback, 1]), style);
}

function range(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * 0.12;
  return { low: low - margin, high: high + margin };
}

function paint(pen, box, shown, { low, high }, style) {
  const colour = (name) => style.getPropertyValue(name).trim();
  const left = 58, right = box.width - 10, top = 8, bottom = box.height - 8;
  const x = (place) => right - (shown.length - 1 - place) * ((right - left - 8) / (SHOWN - 1)) - 4;
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = colour("--soft");
  pen.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const value = low + (high - low) * share;
    pen.fillText(decimal(Number(value.toPrecision(3))), left - 8, Math.min(bottom, Math.max(top + 10, y(value) + 4)));
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    pen.moveTo(left, y(value));
    pen.lineTo(right, y(value));
    pen.stroke();
  }
  pen.lineWidth = 2;
  pen.strokeStyle = colour("--ink");
  pen.setLineDash([6, 4]);
  pen.beginPath();
  shown.forEach((one, place) => { if (one.threshold !== null) pen.lineTo(x(place), y(one.threshold)); });
  pen.stroke();
  pen.setLineDash([]);
  shown.forEach((one, place) => mark(pen, one, x(place), one.score === null ? bottom - 5 : y(one.score), colour));
}

function mark(pen, one, x, y, colour) {
  pen.strokeStyle = pen.fillStyle = colour(`--${one.state.toLowerCase()}`);
  pen.beginPath();
  if (one.state === "ACCEPT") {
    pen.arc(x, y, 2.5, 0, 7);
    pen.fill();
    return;
  }
  if (one.state === "REJECT") { pen.moveTo(x - 4, y - 4); pen.lineTo(x + 4, y + 4); pen.moveTo(x + 4, y - 4); pen.lineTo(x - 4, y + 4); }
  else { pen.moveTo(x, y - 5); pen.lineTo(x + 5, y + 4); pen.lineTo(x - 5, y + 4); pen.closePath(); }
  pen.stroke();
}
