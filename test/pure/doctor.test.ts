/** What the doctor says of machines, sound ones and others. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diagnose, type Facts, type Finding } from '../../bin/doctor/findings.ts';
import { readAccess } from '../../devices/access.ts';
import { budgetBytes } from '../../devices/budget.ts';
import { readTopology } from '../../devices/topology.ts';
import type { Traits } from '../../devices/types.ts';
import { DECK } from '../deck.ts';
import { type FakeMachine, MACHINES, writeMachine } from '../fake-machines.ts';
import { temporaryFolder } from './temporary-folder.ts';

const test = suite('doctor');
const writeFolder = temporaryFolder(test);

const SOUND = { checked: 30, wrong: 0, loadMs: 60, runMs: 90 };
const GOLDEN: Facts['golden'] = [
  { arithmetic: 'f32', ...SOUND },
  { arithmetic: 'usual', ...SOUND },
];
const ACCESS = {
  nodes: [{ path: '/dev/dri/renderD128', usable: true }],
  drivers: ['/usr/share/vulkan/icd.d/radeon.json'],
};

let count = 0;

async function factsOf(machine: FakeMachine, traits: Traits | undefined, changes: Partial<Facts> = {}): Promise<Facts> {
  const root = await writeFolder(`machine-${count++}`, new Map());
  await writeMachine(root, machine);
  const topology = await readTopology(root);
  const budget = traits && budgetBytes(topology, traits);
  const base = {
    node: 'v20',
    topology,
    access: ACCESS,
    traits,
    deviceError: undefined,
    budget,
    golden: GOLDEN,
    goldenError: undefined,
  };
  return { ...base, ...changes };
}

const find = (findings: readonly Finding[], check: string) => findings.find((finding) => finding.check === check);
const troubles = (findings: readonly Finding[]) =>
  findings.filter(({ state }) => state === 'warning' || state === 'error');

test('a Steam Deck is sound; the carve-out and programs in the way are noted', async () => {
  const findings = diagnose(await factsOf(MACHINES.deckLcd, DECK));
  assert.equal(troubles(findings), []);
  assert.match(find(findings, 'carve-out')?.advice ?? '', /UMA Frame Buffer Size/);
  assert.match(find(findings, 'watchdog')?.text ?? '', /resets the GPU after 10000 ms/);
  assert.is(find(diagnose(await factsOf(MACHINES.deckLcd4, DECK)), 'carve-out'), undefined);
  const busy = diagnose(await factsOf({ ...MACHINES.deckLcd, memory: [14_800, 1500] }, DECK));
  assert.is(find(busy, 'memory')?.state, 'note');
  assert.match(find(busy, 'memory')?.advice ?? '', /close other programs/);
  assert.is(find(busy, 'main memory')?.state, 'warning');
});

test('a short watchdog, a heap switched off, missing features', async () => {
  const short = diagnose(await factsOf({ ...MACHINES.deckLcd, lockupTimeout: '500' }, DECK));
  assert.is(find(short, 'watchdog')?.state, 'warning');
  const plain = { ...DECK, f16: false, subgroups: undefined, packedDot: false };
  const findings = diagnose(await factsOf(MACHINES.deckLcd, plain));
  assert.equal(
    troubles(findings).map(({ check }) => check),
    ['f16', 'subgroups', 'dp4a'],
  );
  process.env.radv_enable_unified_heap_on_apu = 'false';
  const heaps = find(diagnose(await factsOf(MACHINES.deckLcd, DECK)), 'heaps');
  delete process.env.radv_enable_unified_heap_on_apu;
  assert.match(heaps?.text ?? '', /a third of the memory is out of reach/);
});

test('no device, no rights, no driver, a device that is a CPU', async () => {
  const deviceError = 'no Vulkan device answers';
  const closed = { nodes: [{ path: '/dev/dri/renderD128', usable: false }], drivers: [] };
  const none = diagnose(await factsOf(MACHINES.deckLcd, undefined, { access: closed, deviceError, golden: [] }));
  assert.match(find(none, 'access')?.advice ?? '', /usermod -aG render/);
  assert.is(find(none, 'adapter')?.text, deviceError);
  assert.is(find(none, 'drivers')?.state, 'warning');
  assert.ok(
    troubles(none).every(({ advice }) => advice),
    'something can be done about each',
  );
  const hidden = diagnose(
    await factsOf(MACHINES.deckLcd, undefined, { access: { nodes: [], drivers: [] }, deviceError }),
  );
  assert.match(find(hidden, 'access')?.advice ?? '', /--device \/dev\/dri/);
  const software = { ...DECK, name: 'SwiftShader', vendor: 'google', software: true, f16: false };
  const findings = diagnose(
    await factsOf({ memory: [8000, 6000] }, software, { access: { nodes: [], drivers: ['a'] } }),
  );
  assert.equal(
    troubles(findings).map(({ check }) => check),
    ['adapter'],
  );
});

test('a driver that computes wrongly', async () => {
  const wrong = GOLDEN.map((golden) => ({ ...golden, wrong: golden.arithmetic === 'usual' ? 4 : 0 }));
  const findings = diagnose(await factsOf(MACHINES.deckLcd, DECK, { golden: wrong }));
  const [error, ...others] = troubles(findings);
  assert.is(others.length, 0);
  assert.match(error?.text ?? '', /4 of 30 tokens are wrong with this device's usual kernels/);
  assert.match(error?.advice ?? '', /--exact/);
  const broken = diagnose(await factsOf(MACHINES.deckLcd, DECK, { golden: [], goldenError: 'the GPU was lost' }));
  assert.is(find(broken, 'self-test')?.text, 'the GPU was lost');
});

test('device files and drivers are found below a root', async () => {
  const root = await writeFolder('access', new Map());
  for (const folder of ['dev/dri', 'usr/share/vulkan/icd.d']) mkdirSync(join(root, folder), { recursive: true });
  for (const file of [
    'dev/dri/renderD129',
    'dev/dri/renderD128',
    'dev/dri/card0',
    'dev/nvidia0',
    'dev/nvidiactl',
    'usr/share/vulkan/icd.d/a.json',
  ])
    writeFileSync(join(root, file), '');
  chmodSync(join(root, 'dev/dri/renderD129'), 0);
  const { nodes, drivers } = await readAccess(root);
  assert.equal(
    nodes.map(({ path }) => path),
    ['/dev/dri/renderD128', '/dev/dri/renderD129', '/dev/nvidia0'],
  );
  assert.is(nodes[0]?.usable, true);
  if (process.getuid?.() !== 0) assert.is(nodes[1]?.usable, false); // root may everything
  assert.equal(drivers, ['/usr/share/vulkan/icd.d/a.json']);
  assert.equal(await readAccess('/no/such/root'), { nodes: [], drivers: [] });
});

test.run();
