/** Numbers and times as the page writes them. */

const grouped = new Intl.NumberFormat("en");
const dayName = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const fullTime = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const shortDate = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const yearDate = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

export const number = (value) => grouped.format(value);

/** @param {string} date `2025-01-15` */
export const day = (date) => dayName.format(new Date(`${date}T00:00:00Z`));

/** A time of day on this computer's clock face. @param {Date} date */
export function clockTime(date) {
  const two = (n) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export const full = (date) => fullTime.format(date);

/** A span of time, roughly. @param {number} ms */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** How long ago, or the date when it is long. @param {Date} date @param {number} now */
export function ago(date, now) {
  const ms = now - date.getTime();
  if (ms < 45_000) return "just now";
  if (ms < 3_600_000) return `${Math.max(1, Math.floor(ms / 60_000))} min ago`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`;
  if (ms < 7 * 86_400_000) return `${Math.floor(ms / 86_400_000)} d ago`;
  return (date.getFullYear() === new Date(now).getFullYear() ? shortDate : yearDate).format(date);
}

/** @param {number} ms */
export function latency(ms) {
  if (ms < 1) return "<1 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  return ms < 9_950 ? `${(ms / 1_000).toFixed(1)} s` : `${number(Math.round(ms / 1_000))} s`;
}

/** @param {number} perSecond */
export function rate(perSecond) {
  return perSecond >= 100 ? number(Math.round(perSecond)) : perSecond.toFixed(1);
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
