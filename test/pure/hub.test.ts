/** Downloads from a hub that cuts, stalls, lies and serves wrong bytes; and the store they go to. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openCheckpoint } from '../../loaders/checkpoint.ts';
import { download } from '../../loaders/hub/download.ts';
import { type PullOptions, pull } from '../../loaders/hub/pull.ts';
import { findModel, listModels, lockModel, removeModel } from '../../loaders/hub/store.ts';
import { type Hub, type HubOptions, startHub, type Trick } from '../hub-server.ts';
import { randomInteger, seededRandom } from '../random.ts';
import { ggufFile, randomWeights, SMALL_LLAMA, safetensorsFolder } from '../random-model.ts';
import { runCli } from '../run-cli.ts';
import { expectError } from './expect-error.ts';
import { byteLevelJson } from './small-tokenizers.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('hub');
const writeFolder = temporaryFolder(test);

const CONFIG = { ...SMALL_LLAMA, vocab: 271 };
const WEIGHTS = randomWeights(CONFIG);
const TOKENIZER = Buffer.from(JSON.stringify(byteLevelJson()));
const MODEL = new Map([
  ...safetensorsFolder(CONFIG, WEIGHTS, 'F16'),
  ['tokenizer.json', TOKENIZER] as const,
  ['README.md', Buffer.from('# read me')] as const,
  ['pytorch_model.bin', Buffer.from('never asked for')] as const,
  ['onnx/model.onnx', Buffer.from('neither')] as const,
]);
const WANTED = ['config.json', 'model.safetensors', 'tokenizer.json'];
const random = seededRandom(5);
const GGUF = ggufFile(CONFIG, WEIGHTS);
const FILE = Uint8Array.from({ length: 300_000 }, () => randomInteger(0, 255, random));

let folders = 0;
const newStore = () => writeFolder(`store ${folders++}`, new Map());

/** A hub, a store, and a pull that loses patience soon. */
async function withHub(
  options: Partial<HubOptions>,
  work: (hub: Hub, store: string, get: (name: string, more?: PullOptions) => ReturnType<typeof pull>) => Promise<void>,
): Promise<void> {
  const hub = await startHub({ name: 'owner/model', files: new Map(MODEL), ...options });
  const store = await newStore();
  const quick = { endpoint: hub.url, store, stallMs: 300, pauseMs: 1, tries: 3, token: '' };
  try {
    await work(hub, store, (name, more = {}) => pull(name, { ...quick, ...more }));
  } finally {
    await hub.close();
  }
}

const filesIn = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((one) => one.isFile())
    .map((one) => one.name)
    .sort();
const asked = (hub: Hub, file: string) => hub.asked.filter((one) => one.path.endsWith(`/${file}`));

test('only the files needed come, and the model opens by its short name', () =>
  withHub({}, async (hub, store, get) => {
    const pulled = await get('owner/model');
    assert.equal([pulled.name, pulled.files.toSorted(), pulled.kept], ['owner/model', WANTED, 0]);
    assert.equal(await filesIn(store), ['.firstlight.json', ...WANTED]);
    for (const file of WANTED)
      assert.equal(new Uint8Array(await readFile(join(pulled.path, file))), new Uint8Array(MODEL.get(file)!));
    assert.is(await findModel(store, 'owner/model'), join(store, 'owner', 'model'));
    const checkpoint = await openCheckpoint(pulled.path);
    assert.ok(await checkpoint.vocab());
    await checkpoint.close();

    const before = hub.asked.length;
    const again = await get('owner/model');
    assert.is(again.kept, 3);
    assert.is(hub.asked.length, before + 1, 'the list alone');
    assert.equal(
      (await listModels(store)).map((one) => one.name),
      ['owner/model'],
    );
    assert.is(await removeModel(store, 'owner/model'), pulled.bytes);
    assert.equal(await readdir(store), []);
    assert.is(await removeModel(store, 'owner/model'), undefined);
  }));

test('sizes and hashes may be in the tree, in pages', () =>
  withHub({ onlyTree: true }, async (hub, store, get) => {
    await get('owner/model');
    assert.equal(await filesIn(store), ['.firstlight.json', ...WANTED]);
    assert.ok(hub.asked.filter((one) => one.path.includes('/tree/')).length >= 3);
  }));

test('one GGUF file of several, by its quantisation', () => {
  const files = new Map([
    ['model-Q4_0.gguf', GGUF],
    ['model-Q8_0.gguf', Buffer.concat([GGUF, Buffer.alloc(1)])],
    ['config.json', Buffer.from('{}')],
    ['mmproj-model-Q4_0.gguf', Buffer.from('no')],
  ]);
  return withHub({ files }, async (_, store, get) => {
    assert.is((await get('owner/model:q8_0')).name, 'owner/model:Q8_0');
    assert.equal(await filesIn(store), ['.firstlight.json', 'model-Q8_0.gguf']);
    assert.is(await findModel(store, 'owner/model'), join(store, 'owner/model/model-Q8_0.gguf'), 'the only one');
    assert.is((await get('owner/model')).name, 'owner/model:Q4_0', 'the one that suits best');
    await expectError(
      () => findModel(store, 'owner/model'),
      'bad-argument',
      /several.*owner\/model:Q8_0, owner\/model:Q4_0/,
    );
    assert.is(await findModel(store, 'owner/model:Q4_0'), join(store, 'owner/model/model-Q4_0.gguf'));
    await expectError(
      () => findModel(store, 'owner/model:Q6_K'),
      'bad-argument',
      /only owner\/model:Q8_0.*firstlight pull/,
    );
    await expectError(() => get('owner/model:Q6_K'), 'bad-argument', /no GGUF file Q6_K: there are Q4_0, Q8_0/);
    assert.is(await removeModel(store, 'owner/model:Q8_0'), GGUF.length + 1);
    assert.equal(await filesIn(store), ['.firstlight.json', 'model-Q4_0.gguf']);
    assert.is(await removeModel(store, 'owner/model:Q8_0'), undefined);
  });
});

test('a part of one variant beside others: named, gone on with, removed alone', () => {
  const shards = [1, 2].map((i) => `big-Q4_0-0000${i}-of-00002.gguf`);
  const files = new Map([['model-Q8_0.gguf', GGUF], ...shards.map((name) => [name, FILE] as const)]);
  return withHub({ files }, async (hub, store, get) => {
    await get('owner/model:Q8_0');
    hub.play(shards[1]!, [
      { kind: 'cut', after: 5000 },
      { kind: 'status', status: 404 },
    ]);
    await expectError(() => get('owner/model:Q4_0'), 'download-failed', /404/);
    const [model] = await listModels(store);
    assert.equal(
      model!.unfinished.map(({ variant, files: left }) => [variant, left.length]),
      [['Q4_0', 3]],
    );
    await expectError(() => findModel(store, 'owner/model:q4_0'), 'bad-argument', /is not finished/);
    assert.is(await findModel(store, 'owner/model'), join(store, 'owner/model/model-Q8_0.gguf'));
    assert.ok((await removeModel(store, 'owner/model:Q4_0'))! > FILE.length);
    assert.equal(await filesIn(store), ['.firstlight.json', 'model-Q8_0.gguf']);
    assert.is(await removeModel(store, 'owner/model:Q4_0'), undefined);
  });
});

/** Pulls a model whose one large file the hub serves with tricks. */
function withTricks(
  tricks: readonly Trick[],
  work: (hub: Hub, store: string, get: (more?: PullOptions) => ReturnType<typeof pull>) => Promise<void>,
  always = false,
): Promise<void> {
  return withHub({ files: new Map([['a-Q4_0.gguf', FILE]]) }, async (hub, store, get) => {
    hub.play('a-Q4_0.gguf', tricks, always);
    await work(hub, store, (more) => get('owner/model', more));
  });
}

async function expectWhole(path: string): Promise<void> {
  assert.ok(Buffer.from(FILE).equals(await readFile(path)), 'the file is whole');
  assert.not.ok(existsSync(`${path}.part`) || existsSync(`${path}.part.json`), 'and nothing lies beside it');
}

const MENDED: readonly [string, readonly Trick[]][] = [
  [
    'a connection that is cut, twice',
    [
      { kind: 'cut', after: 100_000 },
      { kind: 'cut', after: 70_000 },
    ],
  ],
  ['a connection that falls silent', [{ kind: 'stall', after: 50_000 }]],
  ['silence before the first byte', [{ kind: 'stall', after: 0 }]],
  [
    'a server that is busy',
    [
      { kind: 'status', status: 503 },
      { kind: 'status', status: 429 },
    ],
  ],
  ['a length that is too large', [{ kind: 'length', add: 1000 }]],
  ['a length that is too small', [{ kind: 'length', add: -1000 }]],
  ['a cut, then a server without ranges', [{ kind: 'cut', after: 100_000 }, { kind: 'no-range' }]],
  ['wrong bytes, once', [{ kind: 'wrong' }]],
  ['a cut, then wrong bytes', [{ kind: 'cut', after: 100_000 }, { kind: 'wrong' }]],
  ['an answer without length', [{ kind: 'no-length' }]],
  ['a page in place of the file, once', [{ kind: 'html' }]],
];

for (const [what, tricks] of MENDED) {
  test(`mended: ${what}`, () =>
    withTricks(tricks, async (_, __, get) => {
      const { path } = await get();
      await expectWhole(path);
    }));
}

test('after a cut only the rest is asked for, and of the same content', () =>
  withTricks([{ kind: 'cut', after: 100_000 }], async (hub, _, get) => {
    await get();
    const [first, second, ...more] = asked(hub, 'a-Q4_0.gguf');
    assert.is(first!.range, undefined);
    const start = Number(/^bytes=(\d+)-$/.exec(second!.range ?? '')?.[1]);
    assert.ok(start > 0 && start <= 100_000, second!.range);
    assert.match(second!.ifRange ?? '', /^"[0-9a-f]{12}"$/);
    assert.is(more.length, 0);
  }));

const BROKEN: readonly [string, Trick, RegExp][] = [
  ['cut at once, always', { kind: 'cut', after: 0 }, /3 times in a row: run the command again/],
  ['silent, always', { kind: 'stall', after: 0 }, /sent nothing for 0\.3 s, 3 times/],
  ['busy, always', { kind: 'status', status: 503 }, /status 503, 3 times/],
  ['always another length', { kind: 'length', add: -5 }, /announces 299995 bytes where its list says 300000/],
  ['always wrong bytes', { kind: 'wrong' }, /wrong bytes came: SHA-256 [0-9a-f]{64}/],
  ['a page in place of the file', { kind: 'html' }, /ended at byte 13 of 300000|announces 13 bytes|wrong bytes/],
  ['not there', { kind: 'status', status: 404 }, /is not there \(404\): check the name/],
  ['gated', { kind: 'status', status: 403 }, /\(403\).*set HF_TOKEN/],
];

for (const [what, trick, message] of BROKEN) {
  test(`given up: ${what}`, () =>
    withTricks(
      [trick],
      async (hub, store, get) => {
        await expectError(() => get(), 'download-failed', message);
        assert.not.ok(existsSync(join(store, 'owner/model/a-Q4_0.gguf')), 'nothing under its name');
        assert.equal(
          (await listModels(store)).flatMap((one) => one.variants),
          [],
        );
        hub.play('a-Q4_0.gguf', []);
        await expectWhole((await get()).path);
      },
      true,
    ));
}

test('another process goes on after kill -9', async () => {
  const files = new Map([['a-Q4_0.gguf', FILE]]);
  await withHub({ files }, async (hub, store, get) => {
    hub.play('a-Q4_0.gguf', [{ kind: 'slow', pauseMs: 20 }]);
    const model = join(store, 'firstlight/models/owner/model');
    const killed = runCli(['pull', 'owner/model', '--endpoint', hub.url], {
      env: { XDG_DATA_HOME: store },
      onStart: async (child) => {
        while ((await readFile(join(model, 'a-Q4_0.gguf.part')).catch(() => '')).length < 20_000)
          await new Promise((resume) => setTimeout(resume, 10));
        child.kill('SIGKILL');
      },
    });
    assert.is((await killed).code, null);
    assert.ok(existsSync(join(model, '.firstlight.lock')), 'it could not clean up');
    assert.not.ok(existsSync(join(model, 'a-Q4_0.gguf')));
    const inner = join(store, 'firstlight/models');
    await expectError(() => findModel(inner, 'owner/model'), 'bad-argument', /not finished: firstlight pull/);
    const [unfinished] = await listModels(inner);
    assert.equal(
      unfinished!.unfinished.map(({ variant, files }) => [variant, files.map(({ path }) => path).sort()]),
      [['Q4_0', ['a-Q4_0.gguf.part', 'a-Q4_0.gguf.part.json']]],
    );
    await expectWhole((await get('owner/model', { store: inner })).path);
    assert.match(asked(hub, 'a-Q4_0.gguf').at(-1)!.range ?? '', /^bytes=[1-9]\d+-$/);
  });
});

test('the token goes to the hub and not to its storage', async () => {
  const files = new Map([['a-Q4_0.gguf', FILE]]);
  await withHub({ files }, (storage) =>
    withHub({ files, storage: storage.url, token: 'secret' }, async (hub, _, get) => {
      await expectError(() => get('owner/model'), 'download-failed', /\(401\).*set HF_TOKEN/);
      await expectError(() => get('owner/model', { token: 'other' }), 'download-failed', /not open to this HF_TOKEN/);
      await expectWhole((await get('owner/model', { token: 'secret' })).path);
      assert.ok(hub.asked.slice(2).every((one) => one.authorization === 'Bearer secret'));
      assert.is(storage.asked.length, 1);
      assert.is(storage.asked[0]!.authorization, undefined);
    }),
  );
});

test('a list that leads out of the model, or away from the truth', async () => {
  const escaping = (list: Record<string, unknown>[]) => [
    ...list,
    { rfilename: '../../evil.safetensors', size: 5 },
    { rfilename: '/etc/x' },
    7 as never,
  ];
  await withHub({ editList: escaping }, async (_, store, get) => {
    await get('owner/model');
    assert.equal(await filesIn(store), ['.firstlight.json', ...WANTED]);
  });
  const shorter = (list: Record<string, unknown>[]) => list.map((one) => ({ ...one, size: 10 }));
  await withHub({ editList: shorter }, async (_, store, get) => {
    await expectError(() => get('owner/model'), 'download-failed', /announces \d+ bytes where its list says 10/);
    assert.not.ok((await filesIn(store)).includes('model.safetensors'));
  });
  const hash = { sha256: '0'.repeat(64), size: 1 };
  const lying = (list: Record<string, unknown>[]) => list.map((one) => ({ ...one, lfs: hash }));
  await withHub({ editList: lying }, async (_, __, get) => {
    await expectError(() => get('owner/model'), 'download-failed', /wrong bytes came/);
  });
  const git = (list: Record<string, unknown>[]) => list.map((one) => ({ ...one, blobId: 'a'.repeat(40) }));
  await withHub({ editList: git }, async (_, __, get) => {
    await expectError(() => get('owner/model'), 'download-failed', /wrong bytes came: Git's SHA-1/);
  });
});

test('what is no hub, and what is no model', async () => {
  await withHub({ files: new Map([['x.bin', Buffer.from('x')]]) }, async (hub, store, get) => {
    await expectError(() => get('owner/model'), 'unsupported-model', /no weights that firstlight reads/);
    await expectError(() => get('owner/none'), 'download-failed', /is not there \(404\)/);
    const file = { endpoint: `${hub.url}/owner/model/resolve/x` };
    await expectError(() => get('owner/model', file), 'download-failed', /404/);
    await expectError(() => get('owner/model', { endpoint: 'ftp://x' }), 'bad-argument', /--endpoint or HF_ENDPOINT/);
    const closed = await startHub({ name: 'o/m', files: new Map() });
    await closed.close();
    await expectError(() => get('owner/model', { endpoint: closed.url }), 'download-failed', /ECONNREFUSED/);
    assert.equal(await readdir(store), [], 'nothing is left behind');
  });
});

test('a file by its URL, and its newer state', async () => {
  const files = new Map([['tiny.gguf', GGUF]]);
  await withHub({ files }, async (hub, store, get) => {
    const url = `${hub.url}/storage/tiny.gguf`;
    hub.play('tiny.gguf', [{ kind: 'cut', after: 5000 }]);
    const { name, path } = await get(url);
    assert.is(name, `127.0.0.1_${new URL(hub.url).port}/tiny`);
    assert.ok(Buffer.from(GGUF).equals(await readFile(path)));
    assert.match(asked(hub, 'tiny.gguf')[1]!.ifRange ?? '', /^"/, 'without a hash the content must be named');
    const model = await openCheckpoint((await findModel(store, name))!);
    await model.close();
    assert.is((await get(url)).kept, 1, 'unchanged');
    files.set('tiny.gguf', FILE);
    assert.is((await get(url)).kept, 0);
    assert.ok(Buffer.from(FILE).equals(await readFile(path)));
  });
});

test('a file by its URL whose redirect tells the hash', async () => {
  const files = new Map([['a.gguf', FILE]]);
  await withHub({ files }, (storage) =>
    withHub({ files, storage: storage.url }, async (hub, _, get) => {
      const url = `${hub.url}/owner/model/resolve/0123456789abcdef0123456789abcdef01234567/a.gguf`;
      storage.play('a.gguf', [{ kind: 'wrong' }]);
      const { path } = await get(url, { endpoint: 'http://elsewhere.example' });
      await expectWhole(path);
      assert.is(storage.asked.length, 2, 'once more for the wrong bytes');
      storage.play('a.gguf', [{ kind: 'wrong' }], true);
      await removeModel(join(path, '../../..'), `127.0.0.1_${new URL(hub.url).port}/a`);
      await expectError(
        () => get(url, { endpoint: 'http://elsewhere.example' }),
        'download-failed',
        /wrong bytes came/,
      );
    }),
  );
});

test('a part of something else is not gone on with', async () => {
  const files = new Map([['tiny.gguf', GGUF]]);
  await withHub({ files }, async (hub, _, get) => {
    hub.play('tiny.gguf', [
      { kind: 'cut', after: 5000 },
      { kind: 'status', status: 404 },
    ]);
    await expectError(() => get(`${hub.url}/storage/tiny.gguf`), 'download-failed', /404/);
    files.set('tiny.gguf', FILE);
    const { path } = await get(`${hub.url}/storage/tiny.gguf`);
    assert.ok(Buffer.from(FILE).equals(await readFile(path)), 'If-Range found it changed');
  });
});

(process.platform === 'linux' ? test : test.skip)('a full disk', () =>
  withHub({ files: new Map([['a-Q4_0.gguf', FILE]]) }, async (_, store, get) => {
    const model = join(store, 'owner/model');
    await mkdir(model, { recursive: true });
    const of = createHash('sha256').update(FILE).digest('hex');
    await writeFile(join(model, 'a-Q4_0.gguf.part.json'), JSON.stringify({ of }));
    await symlink('/dev/full', join(model, 'a-Q4_0.gguf.part'));
    await expectError(() => get('owner/model'), 'disk-full', /disk is full; free some space and run the command again/);
    assert.not.ok(existsSync(join(model, 'a-Q4_0.gguf')));
  }),
);

test('one process at a time, and an interrupted one', () =>
  withHub({ files: new Map([['a-Q4_0.gguf', FILE]]) }, async (hub, store, get) => {
    const unlock = await lockModel(store, 'owner/model');
    await writeFile(join(store, 'owner/model/.firstlight.lock'), '1'); // a process that is always there
    await expectError(
      () => get('owner/model'),
      'bad-argument',
      /another firstlight \(process 1\) is busy with owner\/model/,
    );
    const lock = join(store, 'owner/model/.firstlight.lock');
    await unlock();
    const again = await lockModel(store, 'owner/model');
    assert.match(await readFile(lock, 'utf8'), new RegExp(`^${process.pid} \\d+$`));
    // left by a process of before a reboot, whose number has gone to another one
    for (const left of ['1 123456789', '99999999 5', '']) {
      await writeFile(lock, left);
      await (await lockModel(store, 'owner/model'))();
    }
    await again();
    hub.play('a-Q4_0.gguf', [{ kind: 'slow', pauseMs: 20 }]);
    const stop = new AbortController();
    const reason = await get('owner/model', {
      signal: stop.signal,
      onBytes: (done) => done > 20_000 && stop.abort(new Error('enough')),
    }).catch((error: unknown) => error);
    assert.match(String(reason), /enough/);
    await expectWhole((await get('owner/model')).path);
  }));

test('a file that was damaged on the disk is fetched again', () =>
  withHub({ files: new Map([['a-Q4_0.gguf', FILE]]) }, async (_, __, get) => {
    const { path } = await get('owner/model');
    await writeFile(path, FILE.subarray(0, 1000));
    assert.is((await get('owner/model')).kept, 0);
    await expectWhole(path);
  }));

test('a file that is empty', () =>
  withHub({ files: new Map([['empty', new Uint8Array()]]) }, async (hub, store) => {
    const path = join(store, 'empty');
    assert.is((await download({ url: `${hub.url}/storage/empty`, bytes: 0 }, path)).bytes, 0);
    assert.is((await readFile(path)).length, 0);
  }));

test('the commands: pull, list, tokenize by name, rm', () =>
  withHub({}, async (hub, store) => {
    const env = { XDG_DATA_HOME: store, HF_ENDPOINT: hub.url };
    const run = (...args: string[]) => runCli(args, { env });
    const empty = await run('list');
    assert.match(empty.stderr, /no models in .*firstlight pull OWNER\/NAME/);
    const pulled = await run('pull', 'owner/model');
    assert.is(pulled.code, 0, pulled.stderr);
    assert.is(pulled.stdout, 'owner/model\n');
    assert.match(pulled.stderr, /3 files, .* MiB, .* received at .* MiB\/s/);
    assert.match((await run('list')).stdout, /^name +size +pulled\nowner\/model +\d.* MiB +\d{4}-\d\d-\d\d\n$/);
    assert.is(JSON.parse((await run('list', '--json')).stdout).models[0].name, 'owner/model');
    assert.equal(JSON.parse((await run('tokenize', 'owner/model', 'hello', '--json')).stdout).ids, [259]);
    const missing = await run('tokenize', 'owner/modle', 'hello');
    assert.match(missing.stderr, /owner\/modle does not exist.*firstlight pull owner\/modle/);
    const wrong = await run('rm', 'owner/modle');
    assert.is(wrong.code, 1);
    assert.match(wrong.stderr, /did you mean owner\/model\?/);
    const removed = await run('rm', 'owner/model');
    assert.match(removed.stderr, /owner\/model is removed, .* MiB are free again/);
    assert.is(removed.code, 0);
  }));

test.run();
