// What the server is at, and the words for it.

/** The notification `foretype/status`, and the states in which no server is there to send it. */
export interface Status {
  state: 'off' | 'starting' | 'loading' | 'ready' | 'busy' | 'disabled' | 'failed';
  message: string;
  model: string;
  /** Share of the loading that is done, from 0 to 1. */
  progress?: number | null;
}

/** Why there are no suggestions in a document, undefined where there are. */
export type Silence = { language: string } | { file: string };

export interface Look {
  text: string;
  tooltip: string;
  isError: boolean;
}

/** How the status bar item looks. */
export function look(status: Status, silence: Silence | undefined): Look {
  const { icon, words } = wording(status, silence);
  const model = status.model === '' ? '' : ` (${status.model})`;
  const percent = status.state === 'loading' ? percentage(status) : '';
  return {
    text: `$(${icon}) Foretype${percent}`,
    tooltip: `Foretype${model}: ${words}`,
    isError: status.state === 'failed',
  };
}

function wording(status: Status, silence: Silence | undefined): { icon: string; words: string } {
  switch (status.state) {
    case 'failed':
      return { icon: 'error', words: `failed: ${status.message}` };
    case 'off':
      return { icon: 'circle-slash', words: status.message };
    case 'starting':
      return { icon: 'loading~spin', words: 'the server starts' };
    case 'loading':
      return { icon: 'loading~spin', words: status.message || 'the model is loading' };
    case 'disabled':
      return { icon: 'circle-slash', words: status.message || 'disabled' };
    case 'ready':
    case 'busy':
      if (silence) {
        return { icon: 'circle-slash', words: reason(silence) };
      }
      return status.state === 'busy' ? { icon: 'sync~spin', words: 'busy' } : { icon: 'sparkle', words: 'ready' };
  }
}

function reason(silence: Silence): string {
  return 'language' in silence ? `disabled for ${silence.language}` : silence.file;
}

function percentage({ progress }: Status): string {
  return typeof progress === 'number' ? ` ${Math.round(progress * 100)} %` : '';
}
