/** Text that fits a terminal. */
import stringWidth from 'string-width';

/** Columns that a text takes; codes take none, wide characters two. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** The first parts that fit in so many columns together, joined. */
export function fitParts(parts: readonly string[], separator: string, columns: number): string {
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}${separator}${part}`;
    if (widthOf(longer) > columns) break;
    line = longer;
  }
  return line;
}
