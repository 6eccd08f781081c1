/** `firstlight doctor`: whether this machine is fit, and what to do where it is not. */
import { readAccess } from '../devices/access.ts';
import { budgetBytes } from '../devices/budget.ts';
import { openDevice } from '../devices/open.ts';
import { readTopology } from '../devices/topology.ts';
import type { Device } from '../devices/types.ts';
import { type Golden, runGolden } from '../engine/golden.ts';
import { FirstlightError } from '../quant/errors.ts';
import { defineCommand, wrap } from './arguments.ts';
import { diagnose, type Facts, type Finding } from './doctor/findings.ts';
import { formatTopology } from './memory-lines.ts';
import { ADAPTER_FLAG, wantedAdapter } from './model-flags.ts';
import { print, printJson } from './output.ts';
import { columnsOf, type Style, styled } from './screen.ts';

const STYLES: Readonly<Record<Finding['state'], Style>> = { ok: 'dim', note: 'cyan', warning: 'bold', error: 'red' };
const INDENT = 21;

export const doctor = defineCommand({
  operands: [],
  about: [
    'Checks drivers, adapter, memory and watchdog, lets the built-in model read a text whose tokens are known, and says what to ' +
      'do about each finding. Exit code 1 when something is wrong.',
  ],
  flags: {
    ...ADAPTER_FLAG,
    json: { kind: 'switch', about: 'one JSON object: ok, findings, machine, adapter' },
  },
  async run(values) {
    const facts = await gatherFacts(wantedAdapter(values));
    const findings = diagnose(facts);
    const ok = findings.every(({ state }) => state !== 'error');
    if (values.json) printJson({ ok, findings, machine: facts.topology, adapter: facts.traits ?? null });
    else print(`${formatTopology(facts.topology).join('\n')}\n\n${findings.map(formatFinding).join('\n')}\n`);
    if (!ok) process.exitCode = 1;
  },
});

async function gatherFacts(adapter: ReturnType<typeof wantedAdapter>): Promise<Facts> {
  const topology = await readTopology();
  const access = await readAccess();
  const golden: Golden[] = [];
  let device: Device | undefined;
  let deviceError: string | undefined;
  let goldenError: string | undefined;
  try {
    device = await openDevice({ adapter });
  } catch (error) {
    if (!(error instanceof FirstlightError)) throw error;
    deviceError = error.message;
  }
  try {
    if (device) for (const arithmetic of ['f32', 'usual'] as const) golden.push(await runGolden(device, arithmetic));
  } catch (error) {
    goldenError = (error as Error).message;
  } finally {
    device?.close();
  }
  const traits = device?.traits;
  const budget = traits && budgetBytes(topology, traits);
  return { node: process.version, topology, access, traits, deviceError, budget, golden, goldenError };
}

/** `ok      adapter    ...`, and the advice in lines below. */
function formatFinding({ check, state, text, advice }: Finding): string {
  const columns = Math.max(columnsOf(process.stdout), INDENT + 20);
  const screen = process.stdout;
  const head = `${styled(screen, STYLES[state], state.padEnd(8))} ${check.padEnd(INDENT - 10)} `;
  const lines = [`${head}${wrap(text, INDENT, columns)}`];
  if (advice !== undefined) lines.push(`${' '.repeat(INDENT)}${wrap(`-> ${advice}`, INDENT + 3, columns)}`);
  return lines.join('\n');
}
