/** The app's parts that need neither a GPU nor a browser: branches, keys, conversations on disk, the menu entry, the memory picture. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openConversations } from '../../bin/desktop/conversations.ts';
import { writeJson } from '../../bin/desktop/files.ts';
import { desktopEntry, install, uninstall } from '../../bin/desktop/install.ts';
import { announce, instancePath, raiseRunning } from '../../bin/desktop/instance.ts';
import { createKeys } from '../../bin/desktop/keys.ts';
import { machineMemory, modelFit } from '../../bin/desktop/machine.ts';
import { createPulls } from '../../bin/desktop/pulls.ts';
import { openSettings } from '../../bin/desktop/settings.ts';
import { childEnvironment, isGameMode, steamKeyboard } from '../../bin/desktop/steam.ts';
import { RequestError } from '../../bin/serve/errors.ts';
import { openChatModel } from '../chat-model.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('desktop');
const writeFolder = temporaryFolder(test);
let folders = 0;
const newFolder = () => writeFolder(String(folders++), new Map());

interface Message {
  readonly id: string;
  readonly parent: string | null;
  readonly role: 'user' | 'assistant';
  readonly content: string;
}
interface Tree {
  id: string;
  title: string;
  messages: Message[];
  leaf: string | null;
}
/** The page's module: its types live with the page. */
const branches = (await import(new URL('../../bin/desktop/page/branches.js', import.meta.url).href)) as {
  newConversation(): Tree;
  addMessage(tree: Tree, message: Omit<Message, 'id'>): Message;
  branchOf(tree: Tree, leaf?: string | null): Message[];
  alternativesOf(tree: Tree, message: Message): Message[];
  leafBelow(tree: Tree, id: string): string;
  titleOf(text: string): string;
};

test('branches of a conversation', () => {
  const { newConversation, addMessage, branchOf, alternativesOf, leafBelow } = branches;
  const tree = newConversation();
  const say = (parent: string | null, content: string, role: Message['role'] = 'user') =>
    addMessage(tree, { parent, role, content });
  const a = say(null, 'a');
  const b = say(a.id, 'b', 'assistant');
  const c = say(b.id, 'c');
  const texts = () => branchOf(tree).map(({ content }) => content);
  assert.equal(texts(), ['a', 'b', 'c']);
  const b2 = say(a.id, 'b2', 'assistant');
  assert.equal(texts(), ['a', 'b2']);
  assert.equal(alternativesOf(tree, b2), [b, b2]);
  tree.leaf = leafBelow(tree, b.id);
  assert.is(tree.leaf, c.id);
  const a2 = say(null, 'a2');
  assert.equal(alternativesOf(tree, a2), [a, a2]);
  // files may be edited by hand
  tree.messages.push(
    { id: 'x', parent: 'y', role: 'user', content: 'x' },
    { id: 'y', parent: 'x', role: 'user', content: 'y' },
  );
  assert.is(branchOf(tree, 'x').length, 2);
  assert.type(leafBelow(tree, 'x'), 'string');
});

test('titles are cut at a word', () => {
  assert.is(branches.titleOf('  hello \n world '), 'hello world');
  const long = branches.titleOf('word '.repeat(40));
  assert.ok(long.length <= 61 && /word\u2026$/.test(long), long);
  assert.is(branches.titleOf('x'.repeat(100)).length, 61);
});

test('a ticket is good once and for a minute', () => {
  let nowMs = 0;
  const keys = createKeys(() => nowMs);
  const [first, second] = [keys.newTicket(), keys.newTicket()];
  assert.is(keys.redeem('guess'), undefined);
  assert.is(keys.redeem(first), keys.key);
  assert.is(keys.redeem(first), undefined);
  nowMs = 61_000;
  assert.is(keys.redeem(second), undefined);
});

test('conversations on disk: listed by time, private, nothing outside the folder, damaged ones do no harm', async () => {
  const folder = join(await newFolder(), 'conversations');
  const store = openConversations(folder);
  const conversation = (id: string, updated: string) => {
    return { id, title: id, created: updated, updated, messages: [], leaf: null, system: 'kept' };
  };
  assert.equal(await store.list(), []);
  await store.write('a', conversation('a', '2026-01-01'));
  await store.write('b', conversation('b', '2026-01-03'));
  await Promise.all([1, 2, 3].map((day) => store.write('c', conversation('c', `2026-01-0${day}`))));
  writeFileSync(join(folder, 'd.json'), '{"id":');
  const listed = (await store.list()).map(({ id }) => id);
  assert.equal([...listed].sort(), ['a', 'b', 'c']);
  assert.is(listed.at(-1) === 'a' || listed[0] === 'b', true, 'the latest first');
  assert.is((await store.read('a')).system, 'kept');
  assert.is(statSync(join(folder, 'a.json')).mode & 0o777, 0o600);
  const refused = async (work: Promise<unknown>) => {
    let failure: unknown;
    await work.catch((error: unknown) => {
      failure = error;
    });
    assert.instance(failure, RequestError);
  };
  for (const id of ['../a', 'a/b', '', '.', 'a.json', 'x'.repeat(65)]) {
    await refused(store.write(id, { ...conversation('a', ''), id }));
    await refused(store.read(id));
  }
  await refused(store.write('a', conversation('b', '')));
  await refused(store.write('a', { id: 'a', messages: 'none' }));
  await store.remove('a');
  await refused(store.read('a'));
});

test('settings survive damage and grow no further than they should', async () => {
  const path = join(await newFolder(), 'settings.json');
  const settings = openSettings(path);
  assert.equal(await settings.read(), {});
  await Promise.all([settings.write({ theme: 'dark' }), settings.write({ theme: 'dark' })]);
  assert.equal(await settings.read(), { theme: 'dark' });
  writeFileSync(path, 'no json');
  assert.equal(await settings.read(), {});
  let refused = false;
  await settings.write({ text: 'x'.repeat(200_000) }).catch(() => {
    refused = true;
  });
  assert.ok(refused);
});

test('the menu entry comes and goes, and survives odd paths', async () => {
  const home = await newFolder();
  const environment = { HOME: home, FIRSTLIGHT_LAUNCHER: '/opt/my "first" light/100 %/firstlight' };
  const [entry, icon] = (await install(environment)) as [string, string];
  assert.is(entry, join(home, '.local/share/applications/firstlight.desktop'));
  const text = readFileSync(entry, 'utf8');
  assert.match(text, /^Exec="\/opt\/my \\\\"first\\\\" light\/100 %%\/firstlight" "desktop"$/m);
  assert.ok(text.includes(`Icon=${icon}`) && readFileSync(icon, 'utf8').includes('<svg'));
  // Debian's own checker, where it is installed
  const checked = spawnSync('desktop-file-validate', [entry], { encoding: 'utf8' });
  if (!checked.error) assert.is(checked.stdout + checked.stderr, '');
  await uninstall(environment);
  assert.not(existsSync(entry) || existsSync(icon));
  await uninstall(environment);
  assert.match(desktopEntry(['/usr/bin/node', 'a$b`c\\d'], 'i'), /"a\\\\\$b\\\\`c\\\\\\\\d"/);
});

test('what cannot be written is said, and the old file stays', async () => {
  const folder = await newFolder();
  const path = join(folder, 'settings.json');
  await writeJson(path, { old: true });
  let failure: unknown;
  await writeJson(join(path, 'below a file.json'), {}).catch((error: unknown) => (failure = error));
  assert.ok(
    failure instanceof RequestError && failure.status === 507 && /EEXIST|ENOTDIR/.test(failure.message),
    String(failure),
  );
  assert.equal(JSON.parse(readFileSync(path, 'utf8')), { old: true });
  assert.equal(readdirSync(folder), ['settings.json']);
});

test('one app at a time, whatever is left over and however many start at once', async () => {
  const folder = await newFolder();
  const path = instancePath({ XDG_RUNTIME_DIR: folder });
  assert.is(await raiseRunning(path), false);
  const old = await announce({ url: 'http://127.0.0.1:9', key: 'k' }, path);
  assert.is(statSync(path).mode & 0o777, 0o600);
  assert.is(await raiseRunning(path), false, 'nobody listens there');

  let raised = 0;
  const apps = [1, 2, 3].map(() => createServer((_, response) => response.end(String(raised++))));
  try {
    const urls = await Promise.all(
      apps.map(async (app) => {
        await once(app.listen(0, '127.0.0.1'), 'listening');
        return `http://127.0.0.1:${(app.address() as AddressInfo).port}`;
      }),
    );
    const withdrawals = await Promise.all(urls.map((url) => announce({ url, key: 'k' }, path)));
    const [winner] = withdrawals.filter((withdraw) => withdraw !== undefined);
    assert.is(withdrawals.filter((withdraw) => withdraw !== undefined).length, 1);
    assert.is(raised, 2, 'the others have shown its window');
    old?.();
    assert.ok(existsSync(path), 'nobody takes away what another one has said');
    winner?.();
    assert.equal(readdirSync(dirname(path)), []);
  } finally {
    for (const app of apps) app.close();
  }
  assert.match(instancePath({ HOME: '/home/x', XDG_DATA_HOME: '/data' }), /^\/data\/firstlight\//);
});

test('under Steam', () => {
  const steam = { PATH: '/bin', LD_PRELOAD: 'overlay.so', LD_LIBRARY_PATH: '/steam' };
  assert.equal(childEnvironment(steam), { PATH: '/bin' });
  assert.not(isGameMode({ SteamDeck: '1', XDG_CURRENT_DESKTOP: 'KDE' }));
  assert.ok(isGameMode({ XDG_CURRENT_DESKTOP: 'gamescope' }));
  assert.is(steamKeyboard({}), undefined);
  assert.type(steamKeyboard({ SteamGamepadUI: '1' }), 'function');
});

test('downloads are followed, stopped and forgotten', async () => {
  let fail = (_: Error) => {};
  const pulls = createPulls((name, { onBytes, signal } = {}) => {
    onBytes?.(1, 10);
    signal?.addEventListener('abort', () => fail(signal.reason));
    return new Promise((resolve, reject) => {
      fail = reject;
      if (name === 'quick/one') resolve({ name, path: '', bytes: 10, commit: '', kept: 0, files: [] });
    });
  });
  pulls.start('slow/one');
  pulls.start('slow/one');
  pulls.start('quick/one');
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(
    pulls.list().map(({ name, state, doneBytes }) => [name, state, doneBytes]),
    [
      ['slow/one', 'running', 1],
      ['quick/one', 'done', 10],
    ],
  );
  pulls.stop('slow/one');
  pulls.stop('quick/one');
  assert.equal(pulls.list(), []);
});

test('a model beside the memory: what the app itself holds counts as free', async () => {
  const adapter = {
    name: 'a CPU',
    driver: '',
    vendor: 'google',
    architecture: 'swiftshader',
    software: true,
    limits: {
      maxBufferBytes: 2 ** 30,
      maxBindingBytes: 2 ** 30,
      maxWorkgroupThreads: 256,
      maxWorkgroupBytes: 2 ** 15,
      maxWorkgroupsPerDimension: 65535,
      maxStorageBuffers: 8,
    },
  };
  const { pools, software } = await machineMemory(adapter);
  assert.ok(software && pools.every(({ totalBytes, usedBytes }) => usedBytes < totalBytes));
  const model = { name: 'alpha', bytes: 1, modifiedMs: 0, open: () => openChatModel() };
  const fit = await modelFit(model, adapter, { context: 64 }, { ownBytes: 0 });
  assert.equal([fit.fits, fit.context, fit.problem], [pools.length > 0 ? true : null, 64, null]);
  assert.ok(fit.weightBytes > 0 && fit.kvBytes > 0);
  const broken = { ...model, open: () => Promise.reject(new Error('cut off')) };
  assert.is((await modelFit(broken, adapter, {}, { ownBytes: 0 })).problem, 'cut off');
});

test.run();
