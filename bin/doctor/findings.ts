/** What a machine's facts mean for firstlight, and what to do about them. */
import type { Access } from '../../devices/access.ts';
import { type Budget, KEPT_AVAILABLE_BYTES } from '../../devices/budget.ts';
import { findGpu, type LockupTimeout, type Topology } from '../../devices/topology.ts';
import type { Traits } from '../../devices/types.ts';
import type { Golden } from '../../engine/golden.ts';

export interface Facts {
  readonly node: string;
  readonly topology: Topology;
  readonly access: Access;
  /** Undefined when no device could be opened. */
  readonly traits: Traits | undefined;
  /** Why no device could be opened. */
  readonly deviceError: string | undefined;
  readonly budget: Budget | undefined;
  readonly golden: readonly Golden[];
  /** Why the golden test came to no end. */
  readonly goldenError: string | undefined;
}

export interface Finding {
  readonly check: string;
  /** `error`: firstlight does not work. `warning`: it works badly. `note`: it could be better. */
  readonly state: 'ok' | 'note' | 'warning' | 'error';
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string;
}

const MIB = 2 ** 20;
/** A 7B in 4 bits with a context of 4096 in f16. */
const BYTES_OF_7B = 5.7 * 1024 * MIB;
const SHORT_WATCHDOG_MS = 2000;

/** Everything that was looked at, in the order in which things depend on each other. */
export function diagnose(facts: Facts): Finding[] {
  return [
    ...checkAccess(facts),
    ...checkAdapter(facts),
    ...checkTraits(facts),
    ...checkMemory(facts),
    ...checkWatchdog(facts),
    ...checkGolden(facts),
  ];
}

function checkAccess({ access, topology }: Facts): Finding[] {
  const { nodes, drivers } = access;
  const findings: Finding[] = [];
  const closed = nodes.filter(({ usable }) => !usable).map(({ path }) => path);
  if (nodes.length > 0 && closed.length === nodes.length)
    findings.push({
      check: 'access',
      state: 'error',
      text: `you may not use ${closed.join(', ')}`,
      advice: 'add yourself to the group that owns it, mostly "sudo usermod -aG render,video $USER", and log in again',
    });
  else if (nodes.length > 0)
    findings.push({ check: 'access', state: 'ok', text: nodes.map(({ path }) => path).join(', ') });
  else if (topology.gpus.length > 0)
    findings.push({
      check: 'access',
      state: 'error',
      text: 'the kernel shows a GPU, but there is no device file for it in /dev/dri',
      advice: "in a container pass it on (--device /dev/dri); else load the GPU's kernel module",
    });
  if (drivers.length === 0)
    findings.push({
      check: 'drivers',
      state: 'warning',
      text: 'no Vulkan driver is installed where the loader looks',
      advice: "install your GPU's: mesa-vulkan-drivers (AMD, Intel) or the vendor's (NVIDIA)",
    });
  else findings.push({ check: 'drivers', state: 'ok', text: drivers.map((path) => path.split('/').at(-1)).join(', ') });
  return findings;
}

function checkAdapter({ traits, deviceError }: Facts): Finding[] {
  if (!traits)
    return [{ check: 'adapter', state: 'error', text: deviceError ?? 'no device', advice: 'see the lines above' }];
  const text = `${traits.name}, ${traits.driver}`;
  if (traits.software)
    return [
      {
        check: 'adapter',
        state: 'warning',
        text: `${text} is a CPU that plays GPU: right, but slow`,
        advice:
          'where there is a GPU, see the lines above; with several adapters, choose by --adapter (firstlight devices)',
      },
    ];
  return [{ check: 'adapter', state: 'ok', text }];
}

function checkTraits({ traits, topology }: Facts): Finding[] {
  if (!traits) return [];
  const findings: Finding[] = [];
  const { software, subgroups } = traits;
  const add = (check: string, has: boolean, yes: string, no: string, advice: string) =>
    findings.push(
      has || software
        ? { check, state: has ? 'ok' : 'note', text: has ? yes : no }
        : { check, state: 'warning', text: no, advice },
    );
  const newer = 'update the driver; very old GPUs have none';
  add('f16', traits.f16, 'half precision is there', 'no half precision in kernels: slower than need be', newer);
  add(
    'subgroups',
    subgroups !== undefined,
    subgroups
      ? `${subgroups.min === subgroups.max ? subgroups.min : `${subgroups.min} to ${subgroups.max}`} lanes`
      : '',
    'none: products take the slower kernels',
    newer,
  );
  add('dp4a', traits.packedDot, 'packed dot products are there', 'none: 4-bit weights take the slower kernels', newer);
  const integrated = findGpu(topology, traits)?.integrated;
  const setting = process.env.radv_enable_unified_heap_on_apu;
  if (integrated && traits.driver.toLowerCase().includes('radv') && setting !== undefined && setting !== 'true')
    findings.push({
      check: 'heaps',
      state: 'warning',
      text: `radv_enable_unified_heap_on_apu is ${setting}: a third of the memory is out of reach`,
      advice: 'unset it: firstlight sets it to true by itself',
    });
  return findings;
}

function checkMemory({ traits, topology, budget }: Facts): Finding[] {
  if (!traits || !budget) return [];
  const mib = (bytes: number) => `${Math.round(bytes / MIB)} MiB`;
  const { totalBytes, freeBytes, rule } = budget;
  if (totalBytes === undefined || freeBytes === undefined)
    return [
      { check: 'memory', state: 'note', text: `what is free is ${rule}`, advice: 'give --ctx and watch the load' },
    ];
  const text = `${mib(freeBytes)} of ${mib(totalBytes)} free (${rule})`;
  const isDeck = topology.kind === 'steam-deck-lcd' || topology.kind === 'steam-deck-oled';
  const vram = findGpu(topology, traits)?.vram;
  const findings: Finding[] = [];
  const available = topology.memory?.availableBytes;
  if (freeBytes < BYTES_OF_7B && totalBytes >= BYTES_OF_7B)
    findings.push({
      check: 'memory',
      state: 'note',
      text: `${text}: a 7B in 4 bits would not fit now, though it does on an idle machine`,
      advice: 'close other programs',
    });
  else findings.push({ check: 'memory', state: 'ok', text });
  if (isDeck && vram && vram.totalBytes < 4096 * MIB && !traits.software)
    findings.push({
      check: 'carve-out',
      state: 'note',
      text: `the firmware gives the GPU ${mib(vram.totalBytes)} of its own; firstlight uses the rest of the memory too`,
      advice: 'for models of 13B set "UMA Frame Buffer Size" to 4G in the BIOS (hold volume up and the power button)',
    });
  if (available !== undefined && available < KEPT_AVAILABLE_BYTES)
    findings.push({
      check: 'main memory',
      state: 'warning',
      text: `only ${mib(available)} are available`,
      advice: 'close other programs: below 2 GiB a load is refused on machines whose GPU shares it',
    });
  return findings;
}

function checkWatchdog({ topology, traits }: Facts): Finding[] {
  const timeouts: LockupTimeout | undefined = traits && findGpu(topology, traits)?.lockupTimeoutMs;
  if (!timeouts) return [];
  const { compute, gfx } = timeouts;
  const shortest = Math.min(...[compute, gfx].map((ms) => (ms === 'never' ? Number.POSITIVE_INFINITY : ms)));
  const text = Number.isFinite(shortest)
    ? `the kernel resets the GPU after ${shortest} ms of one task`
    : 'never resets the GPU';
  if (shortest < SHORT_WATCHDOG_MS)
    return [
      {
        check: 'watchdog',
        state: 'warning',
        text: `${text}: long prompts of large models may be cut off`,
        advice: 'give the kernel amdgpu.lockup_timeout=10000, or read prompts in smaller chunks',
      },
    ];
  return [{ check: 'watchdog', state: 'ok', text: `${text}; firstlight keeps its tasks far shorter` }];
}

function checkGolden({ golden, goldenError, traits }: Facts): Finding[] {
  if (!traits) return [];
  const findings = golden.map(({ arithmetic, checked, wrong, loadMs, runMs }): Finding => {
    const what = arithmetic === 'f32' ? 'in f32' : "with this device's usual kernels";
    const times = `loaded in ${Math.round(loadMs)} ms, read in ${Math.round(runMs)} ms`;
    if (wrong === 0)
      return { check: 'self-test', state: 'ok', text: `${checked} of ${checked} tokens are right ${what} (${times})` };
    return {
      check: 'self-test',
      state: 'error',
      text: `${wrong} of ${checked} tokens are wrong ${what}: this driver or GPU computes wrongly`,
      advice:
        arithmetic === 'f32'
          ? 'update the driver, or choose another adapter'
          : 'update the driver, choose another adapter, or use --exact until then; "--retune" measures the kernels anew',
    };
  });
  if (goldenError !== undefined)
    findings.push({ check: 'self-test', state: 'error', text: goldenError, advice: 'see the lines above' });
  return findings;
}
