/** Small helpers around elements. Text only ever enters the page as text: `textContent` and attributes that hold no code. */

import { countryCode } from "./phone.js";

export const byId = (id) => document.getElementById(id);

/** The first element of a copy of the template. @param {string} id */
export function copyOf(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

/** Writes only what changes: an equal write would still cost the browser a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setData(element, name, value) {
  const text = String(value);
  if (element.dataset[name] !== text) element.dataset[name] = text;
}

/** A phone with its country code apart, for the eye only: the text stays one number. */
export function setPhone(element, phone) {
  const code = countryCode(phone);
  const [first, second] = element.children;
  if (second) {
    setText(first, code);
    setText(second, phone.slice(code.length));
    return;
  }
  const parts = [code, phone.slice(code.length)].map((text) => {
    const part = document.createElement("span");
    part.textContent = text;
    return part;
  });
  parts[0].className = "cc";
  element.replaceChildren(...parts);
}

/** @param {HTMLTimeElement} element */
export function setTime(element, iso, text, title) {
  setText(element, text);
  if (element.dateTime !== iso) element.dateTime = iso;
  if (title !== undefined && element.title !== title) element.title = title;
}

/**
 * At most one call of `draw` a frame.
 * @param {() => number} draw returns for how many milliseconds at least there should not be another
 */
export function everyFrame(draw) {
  let asked = false;
  let notBefore = 0;
  const run = () => {
    asked = false;
    const rest = draw();
    notBefore = performance.now() + rest;
  };
  return () => {
    if (asked) return;
    asked = true;
    const wait = notBefore - performance.now();
    if (wait <= 0) requestAnimationFrame(run);
    else setTimeout(requestAnimationFrame, wait, run);
  };
}
