// `Foretype: Pick a Model…`
import { ConfigurationTarget, window, workspace, type QuickPickItem } from 'vscode';
import { parseModels, type Model } from './models';
import { run } from './program';
import type { Server } from './server';
import { SECTION } from './settings';

/** Writes the choice to the user's settings; the server loads it then, and fetches it where it is not installed. */
export async function pickModel(server: Server): Promise<void> {
  const binary = server.binary();
  if (binary === undefined) {
    return;
  }
  const items = run(binary, ['models', 'list', '--json']).then((output) =>
    parseModels(output)
      .filter((model) => model.supported)
      .map((model) => item(model, server.status.model)),
  );
  try {
    const picked = await window.showQuickPick(items, { placeHolder: 'Model', matchOnDescription: true, matchOnDetail: true });
    if (picked) {
      await workspace.getConfiguration(SECTION).update('model', picked.label, ConfigurationTarget.Global);
    }
  } catch (error) {
    void window.showErrorMessage(`Foretype: the models cannot be listed: ${String(error)}`);
  }
}

function item(model: Model, current: string): QuickPickItem {
  const facts = [model.parameters, model.installed ? 'installed' : 'will be downloaded', model.license];
  const inUse = model.name === current ? ['in use'] : [];
  return { label: model.name, description: [...inUse, ...facts].join(' · '), detail: model.description };
}
