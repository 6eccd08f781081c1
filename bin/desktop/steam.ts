/** What is special under Steam: its Game Mode has one window, its own keyboard, and libraries that get into the way of others. */
import { spawn } from 'node:child_process';

type Environment = Readonly<Record<string, string | undefined>>;

/** The environment without what Steam preloads into the programs that it starts. */
export function childEnvironment(environment: Environment = process.env): Record<string, string | undefined> {
  const { LD_PRELOAD: _preload, LD_LIBRARY_PATH: _libraries, ...rest } = environment;
  return rest;
}

/** Whether this is the full-screen mode of a Steam Deck and its like. */
export function isGameMode(environment: Environment = process.env): boolean {
  const { SteamGamepadUI, GAMESCOPE_WAYLAND_DISPLAY, XDG_CURRENT_DESKTOP } = environment;
  return Boolean(SteamGamepadUI || GAMESCOPE_WAYLAND_DISPLAY || XDG_CURRENT_DESKTOP?.toLowerCase() === 'gamescope');
}

/** Shows Steam's keyboard; undefined outside Game Mode, where a field that has the focus gets one or does not need it. */
export function steamKeyboard(environment: Environment = process.env): (() => void) | undefined {
  if (!isGameMode(environment)) return undefined;
  return () => {
    const child = spawn('steam', ['-ifrunning', 'steam://open/keyboard'], {
      env: childEnvironment(environment),
      stdio: 'ignore',
      detached: true,
    });
    child.on('error', () => {}); // without Steam there is none
    child.unref();
  };
}
