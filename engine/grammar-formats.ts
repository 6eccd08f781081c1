/** The formats of JSON schema strings, as regular expressions: each takes fewer texts than its standard, and none that is wrong. */

const MONTHS =
  '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8])';
const DATE = `\\d{4}-(?:${MONTHS})`;
const TIME = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';
// hyphens before a letter, so that it is clear at each sign whether the label may end with it
const LABEL = '[a-z0-9](?:-{0,2}[a-z0-9]){0,30}';
const HOST = `${LABEL}(?:\\.${LABEL}){1,3}`;
const BYTE = '(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])';
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `(?:${DATE})T${TIME}`,
  duration: 'P(?:\\d{1,4}W|\\d{1,4}[YMD]|T\\d{1,4}[HMS])',
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  email: `[a-z0-9_-]{1,20}(?:\\.[a-z0-9_-]{1,20}){0,2}@${HOST}`,
  hostname: HOST,
  ipv4: `${BYTE}(?:\\.${BYTE}){3}`,
  ipv6: '[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}',
  uri: `https?://${HOST}(?:/[A-Za-z0-9._~-]{0,30}){0,8}`,
};
