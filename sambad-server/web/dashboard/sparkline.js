/** Events per second, drawn once a second. */

import { byId, setText } from "./dom.js";
import { rate as inWords } from "./format.js";
import { SECONDS } from "./rate.js";

const HEIGHT = 24;
/** Seconds that the figure beside the line is the mean of. */
const MEAN_OF = 10;

const value = byId("rate-value");
const line = byId("rate-line");
const gaps = byId("rate-gaps");

/** @param {import("./rate.js").Rate} rate */
export function drawRate(rate) {
  const series = rate.series.slice(0, -1);
  const top = Math.max(4, ...series.map((count) => count ?? 0));
  let drawn = "";
  let missing = "";
  series.forEach((count, i) => {
    const x = i + (SECONDS - series.length);
    if (count !== null) drawn += `M${x + 0.5} ${HEIGHT}v${-Math.max(1, (count / top) * (HEIGHT - 1)).toFixed(1)}`;
    else missing += i > 0 && series[i - 1] === null ? "h1" : `M${x} ${HEIGHT - 1}h1`;
  });
  line.setAttribute("d", drawn || "M0 0");
  gaps.setAttribute("d", missing || "M0 0");
  const mean = rate.mean(MEAN_OF);
  setText(value, mean === null ? "–" : inWords(mean));
  value.parentElement.dataset.value = mean === null ? "" : mean.toFixed(2);
}
