/** One push or pull in a process of its own: `transfer.ts push|pull FOLDER HOST/REPOSITORY:TAG`. */
import { copy, openLayout, openRemote, parseRemoteReference } from '../../registry/index.ts';

const [direction, folder, name] = process.argv.slice(2);
const reference = parseRemoteReference(name!);
const layout = await openLayout(folder!);
const remote = openRemote(reference);
if (direction === 'push') await copy(layout, remote, await layout.resolve('image'), { tags: [reference.tag!] });
else await copy(remote, layout, await remote.resolve(reference.tag!), { tags: ['image'] });
