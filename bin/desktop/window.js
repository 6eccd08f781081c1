/**
 * The app in a WebKitGTK window, run by GJS: `gjs -m window.js URL`. A second start shows the window of the first. Exit code 3:
 * GTK or WebKit is not there; `--check` only looks for them.
 */
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

const NO_WEBKIT = 3;
const ID = 'org.firstlight.Desktop';
const [WIDTH, HEIGHT] = [1280, 800];

/** GTK 4 with WebKit 6, else GTK 3 with WebKit2. */
async function findToolkit() {
  for (const [gtk, name, version] of [
    ['4.0', 'WebKit', '6.0'],
    ['3.0', 'WebKit2', '4.1'],
    ['3.0', 'WebKit2', '4.0'],
  ]) {
    try {
      // the first version that is asked for stays: so look before asking
      const found = GLib.spawn_command_line_sync(
        `gjs -c "imports.gi.versions.Gtk='${gtk}';imports.gi.versions.${name}='${version}';imports.gi.Gtk;imports.gi.${name}"`,
      );
      if (!found[0] || found[3] !== 0) continue;
      const { default: Gtk } = await import(`gi://Gtk?version=${gtk}`);
      const { default: WebKit } = await import(`gi://${name}?version=${version}`);
      return { Gtk, WebKit, isOld: gtk === '3.0' };
    } catch {
      // the next one
    }
  }
  return undefined;
}

const [url] = ARGV;
const toolkit = await findToolkit();
if (!toolkit) System.exit(NO_WEBKIT);
if (url === '--check') System.exit(0);

const { Gtk, WebKit, isOld } = toolkit;
GLib.set_prgname('firstlight');
const application = new Gtk.Application({ application_id: ID, flags: Gio.ApplicationFlags.FLAGS_NONE });

application.connect('activate', () => {
  const [shown] = application.get_windows();
  if (shown) {
    shown.present();
    return;
  }
  const view = new WebKit.WebView();
  const settings = view.get_settings();
  settings.javascript_can_access_clipboard = true;
  settings.enable_developer_extras = false;
  // links out of the app belong into the browser
  view.connect('decide-policy', (_view, decision, type) => {
    if (type === WebKit.PolicyDecisionType.RESPONSE) return false;
    const target = decision.get_navigation_action().get_request().get_uri();
    if (target.startsWith(new URLOrigin(url).origin)) return false;
    decision.ignore();
    if (/^(https?|mailto):/.test(target)) Gio.AppInfo.launch_default_for_uri(target, null);
    return true;
  });
  const window = new Gtk.ApplicationWindow({
    application,
    title: 'firstlight',
    default_width: WIDTH,
    default_height: HEIGHT,
    icon_name: 'firstlight',
  });
  if (isOld) window.add(view);
  else window.set_child(view);
  view.load_uri(url);
  if (isOld) window.show_all();
  window.present();
});

/** GJS has no URL. */
class URLOrigin {
  constructor(text) {
    this.origin = /^https?:\/\/[^/]+/.exec(text)?.[0] ?? text;
  }
}

application.run([System.programInvocationName]);
