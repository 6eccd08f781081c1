/** Whether programs of this user can get at a GPU: its device files, and the drivers that are installed. */
import { access, constants, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface Access {
  /** `/dev/dri/renderD128` and the like, and NVIDIA's. */
  readonly nodes: readonly { readonly path: string; readonly usable: boolean }[];
  /** Manifests of Vulkan drivers that the loader would find. */
  readonly drivers: readonly string[];
}

const DRIVER_FOLDERS = ['usr/share/vulkan/icd.d', 'etc/vulkan/icd.d', 'usr/local/share/vulkan/icd.d'];

/** @param root where /dev, /usr and /etc are, for tests */
export async function readAccess(root = '/'): Promise<Access> {
  const list = (folder: string) => readdir(join(root, folder)).catch((): string[] => []);
  const found = [
    ...(await list('dev/dri')).filter((name) => name.startsWith('renderD')).map((name) => `dev/dri/${name}`),
    ...(await list('dev')).filter((name) => /^nvidia\d+$/.test(name)).map((name) => `dev/${name}`),
  ];
  const nodes = await Promise.all(
    found.sort().map(async (path) => ({
      path: `/${path}`,
      usable: await access(join(root, path), constants.R_OK | constants.W_OK).then(
        () => true,
        () => false,
      ),
    })),
  );
  const drivers: string[] = [];
  for (const folder of DRIVER_FOLDERS)
    for (const name of await list(folder)) if (name.endsWith('.json')) drivers.push(`/${folder}/${name}`);
  return { nodes, drivers };
}
