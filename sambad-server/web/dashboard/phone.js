/** Country codes of E.164 numbers. Pure. */

/** The country codes of two digits; besides 1 and 7, all others have three. Source: ITU-T E.164, list of assigned codes. */
const TWO_DIGITS = new Set(
  ("20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
    "60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98").split(" "),
);

/** `+919876543210` → `+91`. @param {string} phone */
export function countryCode(phone) {
  const digits = phone.startsWith("+") ? phone.slice(1) : phone;
  if (digits[0] === "1" || digits[0] === "7") return `+${digits[0]}`;
  const two = digits.slice(0, 2);
  return `+${TWO_DIGITS.has(two) ? two : digits.slice(0, 3)}`;
}

/** Whom an event speaks of. @param {{type: string, data: any}} event */
export function parties({ type, data }) {
  switch (type) {
    case "user_created":
      return { who: data.username ?? null, whoId: data.id, whom: null, whomId: null };
    case "message_sent":
      return { who: data.from_username ?? null, whoId: data.from_user_id, whom: data.to_username ?? null, whomId: data.to_user_id };
    case "contact_added":
    case "contact_removed":
      return {
        who: data.user_username ?? null,
        whoId: data.user_id,
        whom: data.contact_user_username ?? null,
        whomId: data.contact_user_id,
      };
    default:
      // A newer server may send types that this page does not know.
      return { who: null, whoId: null, whom: null, whomId: null };
  }
}
