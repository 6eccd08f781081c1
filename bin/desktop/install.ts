/** The app in the desktop's menu: a .desktop file and an icon below the user's own folders. */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

type Environment = Readonly<Record<string, string | undefined>>;

interface Places {
  readonly entry: string;
  readonly icon: string;
}

function placesOf(environment: Environment): Places {
  const base = environment.XDG_DATA_HOME?.startsWith('/')
    ? environment.XDG_DATA_HOME
    : join(environment.HOME ?? homedir(), '.local', 'share');
  return {
    entry: join(base, 'applications', 'firstlight.desktop'),
    icon: join(base, 'icons', 'hicolor', 'scalable', 'apps', 'firstlight.svg'),
  };
}

/** Writes both; answers their paths. */
export async function install(environment: Environment = process.env): Promise<readonly string[]> {
  const { entry, icon } = placesOf(environment);
  for (const path of [entry, icon]) await mkdir(dirname(path), { recursive: true });
  await copyFile(
    fileURLToPath(new URL('bin/desktop/page/icon.svg', import.meta.resolve('firstlight/package.json'))),
    icon,
  );
  // by its path: a menu that has not looked for new icons shows it all the same
  await writeFile(entry, desktopEntry(launchCommand(environment), icon), { mode: 0o755 });
  refresh(dirname(entry));
  return [entry, icon];
}

/** Removes both; answers their paths. */
export async function uninstall(environment: Environment = process.env): Promise<readonly string[]> {
  const { entry, icon } = placesOf(environment);
  for (const path of [entry, icon]) await rm(path, { force: true });
  refresh(dirname(entry));
  return [entry, icon];
}

/** The portable bundle's launcher, else Node with this program. */
function launchCommand(environment: Environment): string[] {
  const launcher = environment.FIRSTLIGHT_LAUNCHER;
  if (launcher) return [launcher, 'desktop'];
  return [
    process.execPath,
    fileURLToPath(new URL('dist/bin/firstlight.js', import.meta.resolve('firstlight/package.json'))),
    'desktop',
  ];
}

export function desktopEntry(command: readonly string[], icon: string): string {
  return `[Desktop Entry]
Type=Application
Name=firstlight
GenericName=Language models on this machine
Comment=Chat with language models on this machine's GPU
Exec=${command.map(quote).join(' ')}
Icon=${icon}
Terminal=false
Categories=Utility;
Keywords=LLM;chat;AI;
StartupWMClass=firstlight
`;
}

/** An argument as the Desktop Entry Specification wants it: quoted, and once more escaped as a string. */
function quote(argument: string): string {
  const quoted = `"${argument.replace(/(["`$\\])/g, '\\$1')}"`.replaceAll('%', '%%');
  return quoted.replaceAll('\\', '\\\\');
}

/** Menus that keep a cache are told; those that do not have the program need not be. */
function refresh(folder: string): void {
  spawnSync('update-desktop-database', [folder], { stdio: 'ignore', timeout: 10_000 });
}
