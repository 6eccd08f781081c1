/** `firstlight devices`: the adapters of this machine and what the engine makes of them. */
import { type Budget, budgetBytes } from '../devices/budget.ts';
import { listAdapters, openDevice } from '../devices/open.ts';
import { readTopology } from '../devices/topology.ts';
import type { Traits } from '../devices/types.ts';
import { defineCommand } from './arguments.ts';
import { formatBudget, formatTopology } from './memory-lines.ts';
import { mebibytes, print, printJson, SOFTWARE, table } from './output.ts';

export const devices = defineCommand({
  operands: [],
  about: [
    'Shows the memory of this machine and how its GPUs share it, where Linux tells, and lists the adapters by the numbers ' +
      'that --adapter takes.',
  ],
  flags: { json: { kind: 'switch', about: 'one JSON object: machine, adapters' } },
  async run(values) {
    const machine = await readTopology();
    const found: Traits[] = [];
    for (const adapter of (await listAdapters()).keys()) {
      const device = await openDevice({ adapter });
      found.push(device.traits);
      device.close();
    }
    const adapters = found.map((traits) => ({ ...traits, memory: budgetBytes(machine, traits) }));
    if (values.json) printJson({ machine, adapters });
    else print(`${formatTopology(machine).join('\n')}\n\n${adapters.map(describeDevice).join('\n')}`);
  },
});

function describeDevice(traits: Traits & { readonly memory: Budget }, index: number): string {
  const { name, driver, vendor, architecture, software, subgroups, subgroupMatrix, limits } = traits;
  const yes = (has: boolean) => (has ? 'yes' : 'no');
  const matrices = subgroupMatrix.map(({ m, n, k, component, result }) => `${m}x${n}x${k} ${component} -> ${result}`);
  const rows = [
    ['driver', `${driver} (${[vendor, architecture].filter(Boolean).join(', ')})`],
    ['software', software ? `yes: ${SOFTWARE}` : 'no'],
    ['memory', formatBudget(traits.memory)],
    ['f16', yes(traits.f16)],
    ['subgroups', describeSubgroups(subgroups, traits.subgroupSizeControl)],
    ['dp4a', yes(traits.packedDot)],
    ['matrices', matrices.join('; ') || 'none'],
    ['timestamps', yes(traits.timestamps)],
    ['buffer', `at most ${mebibytes(limits.maxBufferBytes)}, a binding ${mebibytes(limits.maxBindingBytes)}`],
    ['workgroup', `at most ${limits.maxWorkgroupThreads} threads, ${limits.maxWorkgroupBytes / 1024} KiB`],
  ];
  return `${index}  ${name}\n${table(rows.map((row) => ['  ', ...row]))}`;
}

function describeSubgroups(subgroups: Traits['subgroups'], sizeControl: boolean): string {
  if (!subgroups) return 'none';
  const { min, max } = subgroups;
  return `${min === max ? min : `${min} to ${max}`}${sizeControl ? ', size can be chosen' : ''}`;
}
