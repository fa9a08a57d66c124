// `Foretype: Document`: a comment for the function at the cursor.
import type { Parts } from './commands';
import { target } from './target';
import { writeCode } from './writing';

export async function documentHere({ server, log }: Parts): Promise<void> {
  const here = target(server);
  if (!here) {
    return;
  }
  const position = here.client.code2ProtocolConverter.asPosition(here.range.start);
  await writeCode(here.client, log, {
    title: 'Foretype writes a comment',
    command: 'foretype.document',
    argument: { uri: here.uri, position },
  });
}
