// The page's memory. It falls back to variables where the browser allows no storage.

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
        // The browser allows no storage, or it is full.
      }
    },
  };
}

/** Kept until the tab is closed. */
export const tab = memory(() => sessionStorage);
/** Kept in the browser. */
export const browser = memory(() => localStorage);
