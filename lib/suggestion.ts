// Finds the name that a mistyped one most likely stands for.

/** Returns the edits (insert, delete, replace or swap of neighbours) that turn one string into the other. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, row[j]! + 1, next[j - 1]! + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) best = Math.min(best, before[j - 2]! + 1);
      next.push(best);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

/** Returns the choice with the fewest edits, if they are at most a third of the name's length. Ignores case. */
export function nearest(name: string, choices: readonly string[]): string | undefined {
  if (name.length > 80) return undefined;
  const lower = name.toLowerCase();
  let best: string | undefined;
  let fewest = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const choice of choices) {
    const edits = editDistance(lower, choice.toLowerCase());
    if (edits < fewest) [best, fewest] = [choice, edits];
  }
  return best;
}
