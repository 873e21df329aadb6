// A menu below a button, by the ARIA pattern of menu buttons: arrows move, Escape and Tab close, and the focus returns to the button.

const menu = document.getElementById('menu');
let opener = null;
/** The button of the open menu, if a pointer was pressed on it: the browser closes the menu then, before the click arrives. */
let pressed = null;

/** The room between the menu, its button and the window's edges, in pixels. */
const GAP = 6;

/**
 * Opens a menu of `{text, run}`, or `{text, href, download}` for a file. The button closes its own menu.
 */
export function open(button, items) {
  if (pressed === button) {
    pressed = null;
    return;
  }
  if (opener) menu.hidePopover();
  menu.replaceChildren(...items.map(({ text, run, href, download }) => {
    const item = document.createElement(href ? 'a' : 'button');
    if (href) Object.assign(item, { href, download });
    else item.type = 'button';
    item.setAttribute('role', 'menuitem');
    item.tabIndex = -1;
    item.textContent = text;
    item.addEventListener('click', () => {
      // The focus goes back first, so that what the item does may move it.
      menu.hidePopover();
      button.focus();
      run?.();
    });
    return item;
  }));
  menu.setAttribute('aria-label', button.getAttribute('aria-label') ?? button.textContent.trim());
  menu.showPopover();
  opener = button;
  button.setAttribute('aria-expanded', 'true');
  place(menu, button);
  menu.firstElementChild.focus();
}

/** Puts an open popover below a button, or above it where there is no room, and within the window. */
export function place(popover, button) {
  const { width, height } = popover.getBoundingClientRect();
  const at = button.getBoundingClientRect();
  const below = at.bottom + GAP;
  const top = below + height > innerHeight - GAP ? Math.max(GAP, at.top - GAP - height) : below;
  const left = Math.max(GAP, Math.min(at.left, innerWidth - width - GAP));
  Object.assign(popover.style, { top: `${top}px`, left: `${left}px` });
}

menu.addEventListener('keydown', (event) => {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === 'Tab') {
    opener.focus();
    menu.hidePopover();
  } else if (to !== undefined) {
    event.preventDefault();
    items.at(to % items.length).focus();
  }
});
addEventListener('pointerdown', ({ target }) => (pressed = opener?.contains(target) ? opener : null), true);
menu.addEventListener('beforetoggle', (event) => {
  if (event.newState !== 'closed' || !opener) return;
  opener.setAttribute('aria-expanded', 'false');
  if (menu.contains(document.activeElement)) opener.focus();
  opener = null;
});
for (const away of ['scroll', 'resize']) addEventListener(away, () => opener && place(menu, opener), { passive: true });
