// The list of portraits.

import * as api from './api.js';
import { open } from './menu.js';
import { state } from './words.js';

const $ = (id) => document.getElementById(id);

export class Gallery {
  #portraits;
  #items = new Map();
  #discard;
  #current = null;

  constructor(portraits, { discard, say, warn }) {
    this.#portraits = portraits;
    this.#discard = discard;
    this.say = say;
    this.warn = warn;
    portraits.addEventListener('list', () => this.#update());
    portraits.addEventListener('change', (event) => this.#fill(event.detail));
    $('more').addEventListener('click', async () => {
      try {
        await portraits.more();
      } catch (error) {
        warn(error.message);
      }
    });
    // Texts such as "3 minutes ago" have to be updated.
    setInterval(() => portraits.all.forEach((entry) => this.#fill(entry)), 30_000);
  }

  /** Marks the portrait that is open. */
  mark(id) {
    this.#current = id;
    this.#portraits.all.forEach((entry) => this.#fill(entry));
  }

  #update() {
    const entries = this.#portraits.all;
    const ids = new Set(entries.map(({ id }) => id));
    for (const [id, item] of this.#items) {
      if (ids.has(id)) continue;
      // Without this, the focus would be lost with the item.
      if (item.contains(document.activeElement)) (item.nextElementSibling ?? item.previousElementSibling)?.querySelector('a').focus();
      if (item.contains(document.activeElement)) $('earlier-title').focus();
      item.remove();
      this.#items.delete(id);
    }
    const focused = document.activeElement;
    entries.forEach((entry, n) => {
      const item = this.#items.get(entry.id) ?? this.#make(entry);
      this.#fill(entry);
      if ($('list').children[n] !== item) $('list').insertBefore(item, $('list').children[n] ?? null);
    });
    if (focused !== document.activeElement && $('list').contains(focused)) focused.focus({ preventScroll: true });
    const message = this.#portraits.trouble ?? (entries.length ? '' : 'None yet. Portraits sent by other means, such as curl, show up here too.');
    if ($('earlier-message').textContent !== message) $('earlier-message').textContent = message;
    $('more').hidden = !this.#portraits.cursor;
  }

  #make(entry) {
    const item = $('item').content.firstElementChild.cloneNode(true);
    const button = item.querySelector('button');
    item.querySelector('a').href = `#/${entry.id}`;
    button.addEventListener('click', () => this.#offer(button, entry.id));
    this.#items.set(entry.id, item);
    return item;
  }

  #offer(button, id) {
    const entry = this.#portraits.get(id);
    const cancel = { text: 'Cancel', run: () => this.#cancel(entry) };
    open(button, [entry.running ? cancel : { text: 'Delete', run: () => this.#discard(entry) }]);
  }

  async #cancel(entry) {
    try {
      await this.#portraits.remove(entry);
      this.say(entry.phase === 'cancelled' ? `${entry.name} is cancelled.` : `${entry.name} is gone.`);
    } catch (error) {
      this.warn(error.message);
    }
  }

  #fill(entry) {
    const item = this.#items.get(entry.id);
    if (!item) return;
    const link = item.querySelector('a');
    if (entry.id === this.#current) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
    const words = state(entry);
    const label = item.querySelector('.state');
    if (label.textContent !== words) label.textContent = words;
    item.dataset.phase = entry.phase;
    item.querySelector('.name').textContent = entry.name;
    item.querySelector('button').setAttribute('aria-label', `More for ${entry.name}`);
    const thumb = item.querySelector('.thumb');
    const paths = halves(entry.job?.images ?? []);
    if (paths.length && thumb.dataset.paths !== String(paths)) {
      thumb.dataset.paths = paths;
      thumb.replaceChildren(...paths.map((path) => this.#picture(thumb, path)));
    }
  }

  /** A picture of a thumbnail. The next update of the list tries again if it cannot be had. */
  #picture(thumb, path) {
    const image = new Image();
    Object.assign(image, { alt: '', loading: 'lazy', decoding: 'async', crossOrigin: 'anonymous' });
    const failed = () => delete thumb.dataset.paths;
    image.addEventListener('error', failed);
    const address = api.address(path);
    if (address) image.src = address;
    else {
      api.picture(path).then((blob) => {
        image.addEventListener('load', () => URL.revokeObjectURL(image.src), { once: true });
        Object.assign(image, { loading: 'eager', src: URL.createObjectURL(blob) });
      }, failed);
    }
    return image;
  }
}

/** The paths of a thumbnail's halves: the youngest and the oldest picture, or the original and the only one. */
function halves(images) {
  const aged = images.slice(1).sort((one, two) => one.age - two.age);
  const [young, old] = aged.length > 1 ? [aged[0], aged.at(-1)] : images;
  return old ? [young.path, old.path] : [];
}
