import { stringify } from 'yaml';
import type { KubernetesObject, Manifests } from './types.ts';

/** Objects as YAML documents that any reader takes for the same, those that read yes, 0777 and 1:30 as other things than text among them. */
export function renderObjects(objects: readonly KubernetesObject[], head: readonly string[] = []): string {
  const documents = objects.map((object) =>
    stringify(object, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false }),
  );
  return head.map((line) => `# ${line}\n`).join('') + documents.join('---\n');
}

/** One server, with what its walls lack at the top, where reviewers see it. */
export function renderServer(name: string, { objects, cannot }: Manifests): string {
  return renderObjects(objects, [
    `${name}, by mcp-build deploy kubernetes. What mcp-build's runner does and a pod has no word for:`,
    ...cannot.map(({ wall, why }) => `- ${wall}: ${why}`),
  ]);
}
