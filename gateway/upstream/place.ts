/** An address without its query, in which some services want their key. */
export function place(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
