/** The app's page in a real browser: conversations, branches, models, a lost GPU, keyboard alone, accessibility, both themes. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openConversations } from '../../bin/desktop/conversations.ts';
import { createPulls } from '../../bin/desktop/pulls.ts';
import { openSettings } from '../../bin/desktop/settings.ts';
import { type Desktop, startDesktop } from '../../bin/desktop/start.ts';
import { RequestError } from '../../bin/serve/errors.ts';
import { findAdapter, openDevice } from '../../devices/open.ts';
import type { Device } from '../../devices/types.ts';
import { skipUnless, testAdapter, testDevice } from '../device.ts';
import { testModels } from '../serving.ts';

const test = suite('desktop page');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
/** Folder for screenshots to look at. */
const { FIRSTLIGHT_SCREENSHOTS } = process.env;
const checks: (readonly [name: string, work: () => Promise<void>])[] = [];
const check = (name: string, work: () => Promise<void>) => checks.push([name, work]);

let browser: Browser;
let page: Page;
let app: Desktop;
const devices: Device[] = [];
const problems: string[] = [];
const folder = mkdtempSync(join(tmpdir(), 'firstlight-desktop-'));
const conversations = openConversations(join(folder, 'conversations'));
let diskIsFull = false;

async function start(): Promise<void> {
  browser = await chromium.launch({
    executablePath: CHROMIUM!,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const models = testModels();
  app = await startDesktop({
    models: async () => models,
    parallel: 1,
    queue: 8,
    maxLoaded: 1,
    keepAliveMs: Number.POSITIVE_INFINITY,
    device: { adapter: testAdapter, validate: true },
    load: { context: 512 },
    tuning: async () => ({}),
    note: (line) => process.env.FIRSTLIGHT_DEBUG && console.log(line),
    adapter: () => findAdapter(testAdapter),
    onRaise: () => {},
    conversations: {
      ...conversations,
      async write(id, conversation) {
        if (diskIsFull) throw new RequestError(507, 'disk_full', 'the disk is full');
        await conversations.write(id, conversation);
      },
    },
    settings: openSettings(join(folder, 'settings.json')),
    pulls: createPulls(async (name, { onBytes, signal } = {}) => {
      onBytes?.(5 << 20, 50 << 20);
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
      return { name, path: '', bytes: 0, commit: '', kept: 0, files: [] };
    }),
    async openDevice(options) {
      const device = await openDevice(options);
      devices.push(device);
      return device;
    },
  });
  page = await openPage();
}

async function openPage(
  options: { colorScheme?: 'dark' | 'light'; width?: number; height?: number } = {},
): Promise<Page> {
  const { colorScheme = 'dark', width = 1280, height = 800 } = options;
  const opened = await browser.newPage({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  opened.setDefaultTimeout(30_000);
  // refused requests are part of the tests
  opened.on('console', (message) => {
    if (message.type() === 'error' && !/status of (4\d\d|507)/.test(message.text())) problems.push(message.text());
  });
  opened.on('pageerror', (error) => problems.push(String(error)));
  opened.on('request', (request) => {
    if (!request.url().startsWith(app.url)) problems.push(`the page asks for ${request.url()}`);
  });
  await opened.goto(app.newAddress());
  return opened;
}

async function shot(name: string, of = page): Promise<void> {
  if (!FIRSTLIGHT_SCREENSHOTS) return;
  mkdirSync(FIRSTLIGHT_SCREENSHOTS, { recursive: true });
  await of.screenshot({ path: join(FIRSTLIGHT_SCREENSHOTS, `${name}.png`) });
}

/** Serious faults that axe finds. */
async function faults(of: Page): Promise<string[]> {
  // behind the content policy's back, as a browser's own tools are
  await of.evaluate(await readAxe());
  const found = await of.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
    };
    return (await axe.run()).violations;
  });
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

async function readAxe(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
}

const answers = () => page.locator('article.assistant');
const idle = () => page.locator('#send').waitFor();

/** Runs code in the page: text, since the tests' types know no page. */
function inPage<T>(code: string, of = page): Promise<T> {
  return of.evaluate(`(async () => { ${code} })()`) as Promise<T>;
}

async function limitAnswers(tokens: number): Promise<void> {
  await inPage(
    `const { changeSettings } = await import('/state.js'); await changeSettings({ maxTokens: ${tokens}, temperature: 0 });`,
  );
}

async function say(text: string): Promise<void> {
  await page.locator('#prompt').fill(text);
  await page.keyboard.press('Enter');
}

check('a conversation: an answer comes, is kept, and is there after a reload', async () => {
  await page.locator('.welcome').waitFor();
  await shot('1-welcome');
  assert.equal(await faults(page), []);
  await limitAnswers(20);
  await say('hello world');
  await idle();
  const text = await answers().first().locator('.body').textContent();
  assert.ok((text ?? '').length > 5);
  assert.match((await answers().first().locator('.note').textContent()) ?? '', /tokens\/s.*20 tokens.*alpha/);
  await page.reload();
  await answers().first().waitFor();
  assert.is(await answers().first().locator('.body').textContent(), text);
  assert.match((await page.locator('#conversations .title').first().textContent()) ?? '', /hello world/);
  assert.is(new URL(page.url()).hash, '', 'the ticket is not kept in the address');
});

check('an answer is stopped, and what there is of it stays', async () => {
  await limitAnswers(0);
  await say('tell');
  await answers().nth(1).locator('.body p').first().waitFor();
  await page.locator('#stop').click();
  await idle();
  assert.match((await answers().nth(1).locator('.note').textContent()) ?? '', /^stopped/);
  await limitAnswers(12);
});

check('answering again and editing make branches, which can be gone through', async () => {
  const last = answers().last();
  await last.getByLabel('Answer again').click();
  await idle();
  assert.is(await page.locator('.branches .note').last().textContent(), '2 of 2');
  await page.getByLabel('Earlier version').last().click();
  await page.locator('.branches .note', { hasText: '1 of 2' }).waitFor();
  const user = page.locator('article.user').first();
  await user.getByLabel('Edit message').click();
  await page.getByRole('textbox', { name: 'Edited message' }).fill('hello');
  await page.keyboard.press('Enter');
  await idle();
  assert.is(await page.locator('article').count(), 2, 'the new branch begins at the edited message');
  assert.is(await user.locator('.body').textContent(), 'hello');
  await shot('2-branches');
  await user.getByLabel('Earlier version').click();
  await page.locator('article.user .body', { hasText: 'hello world' }).waitFor();
  assert.is(await page.locator('article').count(), 4, 'the old one is whole');
});

check('Markdown becomes elements and HTML stays text', async () => {
  const text = [
    '# One\n\nA **bold** word, `code`, [a link](https://example.com) and [a bad one](javascript:alert(1)).',
    '<img src=x onerror=alert(1)><script>alert(1)</script>\n\n![picture](http://example.com/x.png)',
    '- a\n- b\n  1. c\n- [x] d\n\n> quote\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```js\nlet x = "<b>";\n```',
  ].join('\n\n');
  const shown = await inPage<{ same: boolean; tags: string[]; links: string[]; code: string; done: string }>(`
    const { showMarkdown } = await import('/markdown.js');
    const text = ${JSON.stringify(text)};
    const target = document.createElement('div');
    for (let length = 1; length <= text.length; length += 7) showMarkdown(target, text.slice(0, length)); // as it comes
    showMarkdown(target, text);
    const fresh = document.createElement('div');
    showMarkdown(fresh, text);
    return {
      same: target.innerHTML === fresh.innerHTML,
      tags: [...new Set([...target.querySelectorAll('*')].map(({ tagName }) => tagName.toLowerCase()))],
      links: [...target.querySelectorAll('a')].map(({ href }) => href),
      code: target.querySelector('pre').textContent,
      done: target.querySelector('li input').checked && target.querySelector('ul > li:last-child').textContent,
    };
  `);
  assert.ok(shown.same, 'growing and at once are the same');
  assert.equal(shown.links, ['https://example.com/']);
  assert.is(shown.code, 'let x = "<b>";');
  assert.is(shown.done.trim(), 'd');
  for (const tag of ['img', 'script', 'iframe']) assert.not(shown.tags.includes(tag), tag);
  for (const tag of ['h3', 'strong', 'code', 'ul', 'ol', 'blockquote', 'table', 'pre'])
    assert.ok(shown.tags.includes(tag), tag);
});

check('a full disk: what is not saved is told, and saved when there is room', async () => {
  diskIsFull = true;
  await page.locator('#new-conversation').click();
  await say('world');
  await page.locator('#banner', { hasText: 'Not saved yet: the disk is full' }).waitFor();
  await idle();
  const text = await answers().first().locator('.body').textContent();
  diskIsFull = false;
  await page.locator('#banner').waitFor({ state: 'hidden' });
  await page.reload();
  await answers().first().waitFor();
  assert.is(await answers().first().locator('.body').textContent(), text);
});

check('another model is chosen, with what it needs of the memory; downloads are seen', async () => {
  await page.locator('#choose-model').click();
  await page.locator('button.model').nth(2).waitFor();
  assert.equal(await faults(page), []);
  await page.locator('#pull-name').fill('owner/name');
  await page.keyboard.press('Enter');
  await page.locator('#pulls li', { hasText: '5.0 MiB of 50 MiB' }).waitFor();
  await shot('3-models');
  await page.getByLabel('Stop downloading owner/name').click();
  await page.locator('#pulls li').waitFor({ state: 'detached' });
  await page.locator('button.model', { hasText: 'beta' }).click();
  await page.locator('#choose-model', { hasText: 'beta' }).waitFor();
  await page.locator('#new-conversation').click();
  await say('hello world');
  await idle();
  assert.match((await answers().first().locator('.note').textContent()) ?? '', /beta$/);
});

check('a model without a chat template says so, and the app goes on', async () => {
  await page.locator('#choose-model').click();
  await page.locator('button.model', { hasText: 'plain' }).click();
  await page.locator('#new-conversation').click();
  await say('hello');
  await page.locator('.note.problem', { hasText: 'no chat template' }).waitFor();
  await page.locator('#choose-model').click();
  await page.locator('button.model', { hasText: 'alpha' }).click();
});

check('the machine: memory, speed', async () => {
  await page.locator('#open-machine').click();
  await page.locator('.memory .legend').waitFor();
  await page.locator('.plot').first().waitFor();
  assert.match(
    (await page.locator('.memory svg.shares').getAttribute('aria-label')) ?? '',
    /weights .* KV cache .* free/,
  );
  assert.equal(await faults(page), []);
  await shot('4-machine');
  await page.keyboard.press('Escape');
});

check('a lost GPU: the answer goes on, and the machine tells of it', async () => {
  await page.locator('#new-conversation').click();
  await limitAnswers(80);
  await say('hello world');
  await answers().first().locator('.body p').first().waitFor();
  devices.at(-1)?.close();
  await idle();
  const text = await answers().first().locator('.body').textContent();
  assert.match((await answers().first().locator('.note').textContent()) ?? '', /80 tokens/);
  await answers().first().getByLabel('Answer again').click();
  await idle();
  assert.is(await answers().first().locator('.body').textContent(), text, 'as if nothing had happened');
  await page.locator('#open-machine').click();
  await page.locator('.facts li', { hasText: 'the GPU was lost 1 time and opened again' }).waitFor();
  await page.keyboard.press('Escape');
  await limitAnswers(12);
});

check('by arrow keys, Enter and Escape alone', async () => {
  const focused = () =>
    inPage<string>(
      `const at = document.activeElement; return at.id || at.getAttribute('aria-label') || at.textContent;`,
    );
  const press = (...keys: string[]) =>
    keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  await page.locator('#prompt').focus();
  await page.keyboard.type('who');
  await press('Enter');
  await idle();
  await press('ArrowUp');
  assert.not.equal(await focused(), 'prompt', 'out of the empty field');
  for (let i = 0; i < 30 && (await focused()) !== 'choose-model'; i++) await press('ArrowUp');
  assert.is(await focused(), 'choose-model', 'up through the messages to the top');
  await press('Enter');
  await page.locator('button.model').first().waitFor();
  await press('ArrowDown', 'ArrowDown', 'ArrowUp', 'ArrowUp', 'ArrowUp');
  assert.ok(
    await inPage(`return document.querySelector('dialog[open]').contains(document.activeElement)`),
    'within the dialog',
  );
  await press('Escape');
  assert.is(await focused(), 'choose-model', 'back to where it was');
  await press('ArrowLeft', 'ArrowLeft');
  for (let i = 0; i < 30 && (await focused()) !== 'open-settings'; i++) await press('ArrowDown');
  assert.is(await focused(), 'open-settings', 'down the list of conversations');
  await press('Enter');
  const slider = page.locator('#set-topK');
  for (let i = 0; i < 30 && (await focused()) !== 'set-topK'; i++) await press('ArrowDown');
  await press('ArrowRight', 'ArrowRight');
  assert.is(await slider.inputValue(), '42', 'sliders keep left and right for themselves');
  await press('Escape');
  for (let i = 0; i < 30 && (await focused()) !== 'prompt'; i++) await press(i % 2 ? 'ArrowDown' : 'ArrowRight');
  assert.is(await focused(), 'prompt');
});

check('settings are kept, and a system text reaches the model', async () => {
  await page.locator('#open-settings').click();
  assert.equal(await faults(page), []);
  await page.locator('#system-default').fill('be brief');
  await page.locator('#set-seed').fill('7x7');
  await page.getByRole('button', { name: 'light', exact: true }).click();
  await page.locator('html[data-theme=light]').waitFor();
  await shot('5-settings-light');
  assert.equal(await faults(page), [], 'in light');
  await page.keyboard.press('Escape');
  await page.reload();
  await page.locator('html[data-theme=light]').waitFor();
  await page.locator('#open-settings').click();
  assert.equal(
    [await page.locator('#system-default').inputValue(), await page.locator('#set-seed').inputValue()],
    ['be brief', '77'],
  );
  await page.keyboard.press('Escape');
  const sent = page.waitForRequest((request) => request.url().endsWith('/v1/chat/completions'));
  await page.locator('#new-conversation').click();
  await say('hello');
  const body = (await sent).postDataJSON();
  assert.equal(body.messages, [
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'hello' },
  ]);
  assert.is(body.seed, 77);
  await idle();
});

check('conversations are deleted when that is meant', async () => {
  const count = await page.locator('#conversations li').count();
  const trash = page
    .locator('#conversations li')
    .first()
    .getByLabel(/^Delete/);
  await trash.click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.is(await page.locator('#conversations li').count(), count);
  await trash.click();
  await page.locator('#question').getByRole('button', { name: 'Delete' }).click();
  await page
    .locator('#conversations li')
    .nth(count - 1)
    .waitFor({ state: 'detached' });
  await page.reload();
  await page.locator('#conversations li').first().waitFor();
  assert.is(await page.locator('#conversations li').count(), count - 1);
});

check('a large and a small screen, in light, without faults and without sideways scrolling', async () => {
  for (const [width, height] of [
    [1920, 1080],
    [640, 800],
  ] as const) {
    const other = await openPage({ colorScheme: 'light', width, height });
    await other.locator('#prompt').waitFor();
    await other.waitForTimeout(300);
    assert.equal(await faults(other), [], `${width}`);
    assert.ok(await inPage('return document.documentElement.scrollWidth <= innerWidth', other), `${width} wide enough`);
    await shot(`6-${width}`, other);
    await other.close();
  }
});

check('without the key nothing is told, and a ticket is good once', async () => {
  const address = app.newAddress();
  const ticket = new URL(address).hash.slice('#ticket='.length);
  const redeem = () => fetch(`${app.url}/app/key`, { method: 'POST', body: JSON.stringify({ ticket }) });
  assert.is((await redeem()).status, 200);
  assert.is((await redeem()).status, 401);
  for (const path of ['/app/conversations', '/app/machine', '/app/events', '/v1/models', '/metrics'])
    assert.is((await fetch(`${app.url}${path}`)).status, 401, path);
  const headers = { authorization: `Bearer ${app.key}` };
  for (const id of ['..%2f..%2fetc', '.hidden', 'a b'])
    assert.ok((await fetch(`${app.url}/app/conversations/${id}`, { headers })).status >= 400, id);
});

const isThere = CHROMIUM !== undefined && (await testDevice()) !== undefined;
const checkInBrowser = skipUnless('desktop', 'they need Chromium and a device', test, test);
if (isThere) {
  test('starts', start);
  test.after(async () => {
    await browser?.close();
    await app?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
}
for (const [name, work] of checks)
  checkInBrowser(isThere, name, async () => {
    await work();
    assert.equal(problems.splice(0), [], 'nothing is wrong in the browser');
  });

test.run();
