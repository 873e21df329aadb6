// What the page remembers, where the browser lets it; else until it is closed.

function memory(storage) {
  const here = new Map();
  return {
    get(name) {
      try {
        return JSON.parse(storage().getItem(name)) ?? here.get(name);
      } catch {
        return here.get(name);
      }
    },
    set(name, value) {
      here.set(name, value);
      try {
        storage().setItem(name, JSON.stringify(value));
      } catch {
        // Not allowed, or full.
      }
    },
  };
}

/** Outlives a reload, and goes with the tab. */
export const tab = memory(() => sessionStorage);
/** Outlives the tab. */
export const browser = memory(() => localStorage);
