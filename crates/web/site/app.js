// The page put together: what is dropped, pasted, picked or taken is sent; the address says which portrait is open.

import * as api from './api.js';
import { Ages } from './ages.js';
import { Gallery } from './gallery.js';
import { NoPhoto } from './photo.js';
import { Portraits } from './portraits.js';
import { Viewer } from './viewer.js';

const $ = (id) => document.getElementById(id);

/** Has it said to those who do not see. */
const say = (text) => ($('status').textContent = text);

/** What a dialog was closed with. */
function answer(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = 'no';
    dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

async function sure(entry) {
  $('sure-title').textContent = `Delete ${entry.id}?`;
  return (await answer($('sure'))) === 'yes';
}

const portraits = new Portraits();
const ages = new Ages();
const opened = (entry) => (location.hash = `#/${entry.id}`);
const viewer = new Viewer(portraits, { say, sure, opened });
const gallery = new Gallery(portraits, { say, sure });

/** Sends every file that is a photograph, opens the first, and tells of the others. */
async function send(files) {
  $('refused').hidden = true;
  const problems = [];
  let first = null;
  for (const file of files) {
    try {
      const entry = await portraits.send(file, ages.chosen);
      first ??= entry;
    } catch (error) {
      if (!(error instanceof NoPhoto)) throw error;
      problems.push(error.message);
    }
  }
  if (first) opened(first);
  if (problems.length) {
    $('refused').replaceChildren(...problems.map((text) => Object.assign(document.createElement('p'), { textContent: text })));
    $('refused').hidden = false;
    $('refused').scrollIntoView({ block: 'nearest' });
  }
}

async function route() {
  const [, id] = /^#\/([A-Za-z0-9][A-Za-z0-9._-]{0,47})$/.exec(location.hash) ?? [];
  if (!id) {
    viewer.open(null);
    gallery.mark(null);
    document.title = 'Time Traveler';
    return;
  }
  gallery.mark(id);
  try {
    const entry = await portraits.open(id);
    if (!location.hash.endsWith(`/${id}`)) return;
    if (!entry) {
      $('refused').textContent = `There is no portrait ${id}: it was deleted, or never came to be.`;
      $('refused').hidden = false;
      location.hash = '#/';
      return;
    }
    viewer.open(entry);
    document.title = `${id}, Time Traveler`;
    $('viewer-title').focus({ preventScroll: true });
    $('viewer').scrollIntoView({ block: 'start' });
  } catch (error) {
    $('refused').textContent = error.message;
    $('refused').hidden = false;
  }
}

$('choose').addEventListener('change', () => {
  send([...$('choose').files]);
  $('choose').value = '';
});
addEventListener('paste', (event) => {
  if (event.clipboardData.files.length) send([...event.clipboardData.files]);
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dragging');
});
for (const end of ['dragleave', 'drop', 'dragend']) {
  addEventListener(end, (event) => {
    if (end !== 'dragleave' || !event.relatedTarget) document.body.classList.remove('dragging');
  });
}
addEventListener('drop', (event) => {
  event.preventDefault();
  const { files } = event.dataTransfer;
  if (files.length) send([...files]);
  else send([new File([], 'what was dropped')]);
});
$('camera').addEventListener('click', async () => {
  const { photograph } = await import('./camera.js');
  const file = await photograph();
  if (file) send([file]);
});
$('sample').addEventListener('click', async () => {
  const blob = await (await fetch('sample.jpg')).blob();
  send([new File([blob], 'astronaut.jpg')]);
});
addEventListener('beforeunload', (event) => {
  if (portraits.uploading) event.preventDefault();
});
portraits.addEventListener('stranger', async () => {
  if ($('who').open || $('who').dataset.declined) return;
  if ((await answer($('who'))) === 'yes' && $('token').value) {
    api.token.set($('token').value.trim());
    dispatchEvent(new Event('online'));
  } else {
    $('who').dataset.declined = 'yes';
  }
});

await api.configure();
const here = ['127.0.0.1', 'localhost', '[::1]'].includes(api.host());
$('where').textContent = here ? 'Photographs stay on this machine.' : `Photographs are sent to ${api.host()}.`;
addEventListener('hashchange', route);
portraits.follow();
route();
