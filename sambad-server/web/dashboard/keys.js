/** Single-key shortcuts, which can be turned off, and the help dialog. */

import { byId } from "./dom.js";

const KEPT_AS = "sambad-keys";

/** @param {() => boolean} meant whether there is anything that keys could be meant for @param {Record<string, () => void>} actions by key, lower case */
export function listenToKeys(meant, actions) {
  const dialog = byId("help");
  const on = byId("keys-on");
  const openHelp = () => !dialog.open && dialog.showModal();
  byId("help-open").addEventListener("click", openHelp);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  on.checked = readKept() !== "off";
  on.addEventListener("change", () => keep(on.checked ? "on" : "off"));
  addEventListener("keydown", (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event;
    const typing = target instanceof Element && target.closest("input, select, textarea") && target.type !== "checkbox";
    if (typing && key === "Escape") target.blur();
    if (!meant() || !on.checked || typing || ctrlKey || metaKey || altKey || dialog.open) return;
    const action = key === "?" ? openHelp : actions[key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** A browser may forbid a page to keep anything. */
function readKept() {
  try {
    return localStorage.getItem(KEPT_AS);
  } catch {
    return null;
  }
}

function keep(value) {
  try {
    localStorage.setItem(KEPT_AS, value);
  } catch {
    // It holds for this visit, then.
  }
}
