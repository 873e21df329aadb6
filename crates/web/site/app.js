// Connects the parts of the page: it sends photographs, and opens the portrait that the page's address names.

import * as api from './api.js';
import { Ages } from './ages.js';
import { Bin } from './bin.js';
import { Divider } from './divider.js';
import { Gallery } from './gallery.js';
import { NoPhoto } from './photo.js';
import { Portraits } from './portraits.js';

const $ = (id) => document.getElementById(id);

/** Announces a text to screen readers. */
const say = (text) => ($('status').textContent = text);

/** Shows a dialog and returns its answer. */
function answer(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = 'no';
    dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

/** Shows error messages until the next action. */
export function warn(...texts) {
  $('refused').replaceChildren(...texts.map((text) => Object.assign(document.createElement('p'), { textContent: text })));
  $('refused').hidden = texts.length === 0;
  if (texts.length) $('refused').scrollIntoView({ block: 'nearest' });
}

// Photographs wait for the addresses of the APIs before they are sent.
const ready = api.configure();
const portraits = new Portraits();
const ages = new Ages();
const opened = (entry) => (location.hash = `#/${entry.id}`);
/** The open portrait. Its module is loaded with the first one. */
let viewer = null;
/** Whether the portrait that was deleted last was open. */
let wasOpen = false;
const discard = (entry) => {
  wasOpen = viewer?.entry === entry;
  bin.take(entry);
};
const gallery = new Gallery(portraits, { say, warn, discard });
const bin = new Bin(portraits, {
  say,
  warn,
  undone: (entry) => (wasOpen ? opened(entry) : document.querySelector(`#list a[href="#/${entry.id}"]`).focus()),
});
new Divider($('sampled'));

/** Messages to show once a portrait has opened, since opening clears earlier ones. */
let unsaid = [];

/** Sends every file that is a photograph, opens the first, and shows the errors of the others. */
export async function send(files) {
  warn();
  const problems = [];
  let first = null;
  for (const file of files) {
    try {
      await ready;
      const entry = await portraits.send(file, ages.chosen);
      first ??= entry;
    } catch (error) {
      problems.push(error instanceof NoPhoto ? error.message : `${file.name} cannot be sent: ${error.message}`);
    }
  }
  if (first) {
    unsaid = problems;
    opened(first);
  } else {
    warn(...problems);
  }
}

/** Opens the portrait that the page's address names. */
async function route() {
  const [, id] = /^#\/([A-Za-z0-9][A-Za-z0-9._-]{0,47})$/.exec(location.hash) ?? [];
  if (!id) {
    const focused = $('viewer').contains(document.activeElement);
    viewer?.open(null);
    gallery.mark(null);
    document.title = 'Time Traveler';
    if (focused) $('new').focus({ preventScroll: true });
    return;
  }
  gallery.mark(id);
  try {
    await ready;
    const [entry, { Viewer }] = await Promise.all([portraits.open(id), import('./viewer.js')]);
    if (!location.hash.endsWith(`/${id}`)) return;
    if (!entry) {
      leave();
      warn(`There is no portrait ${id}: it was deleted, or never created.`);
      return;
    }
    warn(...unsaid);
    unsaid = [];
    viewer ??= new Viewer(portraits, { say, warn, opened, discard });
    viewer.open(entry);
    document.title = `${entry.name}, Time Traveler`;
    $('viewer-title').focus({ preventScroll: true });
    $('viewer').scrollIntoView({ block: 'start' });
  } catch (error) {
    warn(error.message);
  }
}

/** Closes the portrait without a history entry, so that "back" does not lead to a portrait that is gone. */
function leave() {
  history.replaceState(null, '', '#/');
  route();
}

portraits.addEventListener('gone', (event) => {
  const { entry, why, discarded } = event.detail;
  if (viewer?.entry !== entry) return;
  leave();
  if (why) warn(why);
  else if (!discarded) say(`${entry.name} is gone.`);
});

addEventListener('beforeunload', (event) => {
  if (portraits.uploading) event.preventDefault();
});
portraits.addEventListener('unauthorized', async () => {
  if ($('who').open || $('who').dataset.declined) return;
  $('who-refused').hidden = !api.token.get();
  if ((await answer($('who'))) === 'yes' && $('token').value) {
    api.token.set($('token').value.trim());
    dispatchEvent(new Event('online'));
  } else {
    $('who').dataset.declined = 'yes';
    $('introduce').hidden = false;
  }
  $('token').value = '';
});
$('introduce').addEventListener('click', () => {
  $('introduce').hidden = true;
  delete $('who').dataset.declined;
  portraits.dispatchEvent(new Event('unauthorized'));
});

addEventListener('hashchange', route);
try {
  await ready;
  const here = ['127.0.0.1', 'localhost', '[::1]'].includes(api.host());
  $('where').textContent = here ? 'Photographs stay on this machine.' : `Photographs are sent to ${api.host()}, and nowhere else.`;
  portraits.follow();
  route();
} catch (error) {
  warn(`This page cannot find its pipeline: ${error.message} Reload the page to try again.`);
}
