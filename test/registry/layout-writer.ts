/** Another process that writes and tags images in a layout until it is done or killed: `layout-writer.ts FOLDER NAME COUNT`. */
import { openLayout } from '../../registry/index.ts';
import { writeImage } from './image.ts';

const [folder, name, count] = process.argv.slice(2);
const store = await openLayout(folder!);
for (let at = 0; at < Number(count); at++) await store.tag(`${name}-${at}`, await writeImage(store, [64 * 1024]));
