/** What the feed is narrowed to, its form in the address, and whether an event passes. Pure. */

import { countryCode, parties } from "./phone.js";

export const TYPES = ["user_created", "contact_added", "contact_removed", "message_sent"];

/**
 * @typedef {{types: string[], user: string, country: string}} Filter
 *   `types`: none means all; `user`: a phone or part of it, or a name; `country`: a country code or its beginning
 */

/** @type {Filter} */
export const EVERYTHING = Object.freeze({ types: [], user: "", country: "" });

/** A phone or a piece of one: digits with what people put between them. */
const PHONE_LIKE = /^\+?[\d\s().-]+$/;

/** @param {Filter} filter */
export function isEverything({ types, user, country }) {
  return types.length === 0 && user === "" && country === "";
}

/** @param {string} text */
export function looksLikePhone(text) {
  return PHONE_LIKE.test(text);
}

/** `91` and ` 91` (a `+` that an address turned into a space) are `+91`. @param {string} text */
export function normalCountry(text) {
  const digits = text.replace(/\D/g, "").slice(0, 3);
  return digits === "" ? "" : `+${digits}`;
}

/** @param {string} query what follows `?` in the hash */
export function fromQuery(query) {
  const params = new URLSearchParams(query);
  const asked = (params.get("types") ?? "").split(",");
  const user = (params.get("user") ?? "").slice(0, 100);
  return {
    types: TYPES.filter((type) => asked.includes(type)),
    user: user.startsWith(" ") && looksLikePhone(user.trim()) ? `+${user.trim()}` : user.trim(),
    country: normalCountry(params.get("country") ?? ""),
  };
}

/** The hash that stands for `filter`. @param {Filter} filter */
export function toHash({ types, user, country }) {
  const params = [];
  if (types.length > 0) params.push(`types=${types.join(",")}`);
  if (user !== "") params.push(`user=${encodeURIComponent(user)}`);
  if (country !== "") params.push(`country=${encodeURIComponent(country)}`);
  return params.length === 0 ? "#/" : `#/?${params.join("&")}`;
}

/**
 * Makes the test that events must pass.
 * @param {Filter} filter
 * @param {Set<string>} named ids of the users whose name fits `filter.user`; events speak of users by phone only
 * @returns {(event: {type: string, data: any}) => boolean}
 */
export function predicate({ types, user, country }, named = new Set()) {
  const wanted = new Set(types);
  const byPhone = looksLikePhone(user) ? user.replace(/[^\d+]/g, "") : null;
  return (event) => {
    if (wanted.size > 0 && !wanted.has(event.type)) return false;
    if (user === "" && country === "") return true;
    const { who, whoId, whom, whomId } = parties(event);
    if (country !== "" && !inCountry(who, country) && !inCountry(whom, country)) return false;
    if (user === "") return true;
    if (byPhone !== null) return (who ?? "").includes(byPhone) || (whom ?? "").includes(byPhone);
    return named.has(whoId) || named.has(whomId);
  };
}

function inCountry(phone, country) {
  return typeof phone === "string" && countryCode(phone).startsWith(country);
}
