/** Who may use the server, and what they are told when something goes wrong. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeFailure, openaiError, RequestError } from '../../bin/serve/errors.ts';
import { checkHost, checkKey, checkOrigin, type GuardOptions, type Visitor } from '../../bin/serve/guard.ts';
import { keepAliveMs } from '../../bin/serve/keep-alive.ts';
import { FirstlightError } from '../../quant/errors.ts';

const test = suite('guard');

const visitor = (headers: Record<string, string>, path = '/v1/models'): Visitor => {
  return { path, method: 'POST', header: (name) => headers[name] };
};

/** The code of the refusal; undefined: let in. */
function refusal(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    assert.instance(error, RequestError);
    return (error as RequestError).code;
  }
}

for (const [host, fine, options] of [
  ['127.0.0.1:11435', true],
  ['localhost:11435', true],
  ['[::1]:11435', true],
  ['192.168.1.7:8080', true],
  ['chat.localhost', true],
  ['evil.example', false],
  ['evil.example:11435', false],
  ['localhost.evil.example', false],
  ['127.0.0.1.evil.example', false],
  ['', false],
  ['llm.example', true, { hosts: ['LLM.example'] }],
] as const satisfies readonly (readonly [string, boolean, GuardOptions?])[]) {
  test(`the name ${JSON.stringify(host)} is ${fine ? 'let in' : 'refused'}`, () => {
    assert.is(
      refusal(() => checkHost(visitor({ host }), options ?? {})),
      fine ? undefined : 'forbidden_host',
    );
  });
}

test('pages of other origins are refused unless they are allowed', () => {
  const host = '127.0.0.1:11435';
  const check = (headers: Record<string, string>, options: GuardOptions = {}) =>
    refusal(() => checkOrigin(visitor({ host, ...headers }), options));
  assert.is(check({}), undefined, 'no page at all');
  assert.is(check({ origin: `http://${host}` }), undefined);
  assert.is(check({ origin: 'http://127.0.0.1:3000' }), 'forbidden_origin');
  assert.is(check({ origin: 'https://evil.example' }), 'forbidden_origin');
  assert.is(check({ origin: 'null' }), 'forbidden_origin');
  assert.is(check({ origin: '' }), 'forbidden_origin');
  assert.is(check({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }), 'forbidden_origin');
  assert.is(check({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), undefined, 'a link');
  assert.is(check({ origin: 'https://a.example' }, { origins: ['https://a.example'] }), undefined);
  assert.is(check({ origin: 'https://b.example' }, { origins: ['https://a.example'] }), 'forbidden_origin');
  assert.is(checkOrigin(visitor({ host, origin: 'https://b.example' }), { origins: ['*'] }), 'https://b.example');
});

test('keys', () => {
  const keys = ['first', 'second'];
  const check = (headers: Record<string, string>, path?: string) =>
    refusal(() => checkKey(visitor(headers, path), { keys }));
  assert.is(check({ authorization: 'Bearer first' }), undefined);
  assert.is(check({ authorization: 'bearer second' }), undefined);
  assert.is(check({ 'x-api-key': 'second' }), undefined);
  for (const wrong of ['', 'Bearer', 'Bearer ', 'Bearer third', 'Basic first', 'Bearer first second'])
    assert.is(check({ authorization: wrong }), 'invalid_api_key', wrong);
  assert.is(check({}, '/metrics'), 'invalid_api_key');
  assert.is(check({}, '/health'), undefined, 'load balancers have no key');
  assert.is(
    refusal(() => checkKey(visitor({}), {})),
    undefined,
  );
});

test('failures are told by status and code, without paths and without the inside', () => {
  const full = describeFailure(new FirstlightError('context-full', 'the prompt is too long'));
  assert.equal([full.status, full.code], [400, 'context_length_exceeded']);
  const busy = describeFailure(new FirstlightError('queue-full', 'later'));
  assert.equal([busy.status, busy.retryAfterSeconds], [429, 5]);
  const bug = describeFailure(new TypeError("cannot read 'x' of undefined at /home/me/secret.ts"));
  assert.is(bug.status, 500);
  assert.not.match(bug.message, /secret|undefined/);
  const file = describeFailure(new FirstlightError('bad-file', '/home/me/models/a.gguf: cut off at byte 7'));
  assert.is(file.message, 'a.gguf: cut off at byte 7');
  assert.equal(openaiError(new RequestError(404, 'model_not_found', 'no', { param: 'model' })), {
    error: { message: 'no', type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
  });
});

test('how long a model stays', () => {
  for (const [value, wanted] of [
    [undefined, undefined],
    [0, 0],
    [30, 30_000],
    ['30', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['250ms', 250],
    [-1, Number.POSITIVE_INFINITY],
    ['-1m', Number.POSITIVE_INFINITY],
  ] as const)
    assert.is(keepAliveMs(value), wanted, String(value));
  for (const wrong of ['soon', '5 m', '5d', '--1'])
    assert.is(
      refusal(() => keepAliveMs(wrong)),
      'invalid_value',
      wrong,
    );
});

test.run();
