const DEFAULT_COUNTRY_CODE = '+91';

/**
 * Reads a phone number, with its country code or with `countryCode` beside it: the E.164 form and its national part.
 * Null when it is neither.
 */
export function parsePhone(number, countryCode) {
  const country = countryCode ?? DEFAULT_COUNTRY_CODE;
  if (typeof number !== 'string' || typeof country !== 'string') return null;
  const digits = number.replace(/[\s()-]/g, '');
  const code = country.startsWith('+') ? country : `+${country}`;
  const e164 = digits.startsWith('+') ? digits : code + digits;
  if (!/^\+[1-9]\d{7,14}$/.test(e164)) return null;
  return { e164, national: e164.startsWith(code) ? e164.slice(code.length) : e164.slice(1) };
}
