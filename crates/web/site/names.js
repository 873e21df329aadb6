// The names of the files that this browser sent, by the ids of their portraits. The pipeline knows the ids only.

import { browser } from './memory.js';

/** How many names are kept. */
const MOST = 300;

/** A portrait's name: that of its file if this browser sent it, else its id. */
export const nameOf = (id) => browser.get('names')?.[id] ?? id;

export function remember(id, name) {
  const others = Object.entries(browser.get('names') ?? {}).filter(([other]) => other !== id);
  browser.set('names', Object.fromEntries([...others, [id, name]].slice(-MOST)));
}

export function forget(id) {
  browser.set('names', Object.fromEntries(Object.entries(browser.get('names') ?? {}).filter(([other]) => other !== id)));
}
