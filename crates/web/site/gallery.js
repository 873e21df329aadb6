// The list of portraits.

import * as api from './api.js';
import { state } from './words.js';

const $ = (id) => document.getElementById(id);

export class Gallery {
  #portraits;
  #items = new Map();
  #sure;
  #current = null;

  constructor(portraits, { sure, say, warn }) {
    this.#portraits = portraits;
    this.#sure = sure;
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
    item.querySelector('a').href = `#/${entry.id}`;
    item.querySelector('.name').textContent = entry.id;
    item.querySelector('button').addEventListener('click', () => this.#remove(entry.id));
    this.#items.set(entry.id, item);
    return item;
  }

  async #remove(id) {
    const entry = this.#portraits.get(id);
    if (!entry.running && !(await this.#sure(entry))) return;
    try {
      await this.#portraits.remove(entry);
      this.say(entry.phase === 'cancelled' ? `${id} is cancelled.` : `${id} is deleted.`);
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
    const button = item.querySelector('button');
    button.textContent = entry.running ? 'Cancel' : 'Delete';
    button.setAttribute('aria-label', `${button.textContent} ${entry.id}`);
    const path = entry.job?.images[0]?.path;
    const thumb = item.querySelector('.thumb');
    if (path && thumb.dataset.path !== path) {
      thumb.dataset.path = path;
      this.#picture(thumb, path);
    }
  }

  async #picture(thumb, path) {
    const image = new Image();
    Object.assign(image, { alt: '', loading: 'lazy', decoding: 'async', crossOrigin: 'anonymous' });
    thumb.replaceChildren(image);
    // The next update of the list tries again.
    const failed = () => delete thumb.dataset.path;
    image.addEventListener('error', failed);
    const address = api.address(path);
    if (address) image.src = address;
    else {
      try {
        const url = URL.createObjectURL(await api.picture(path));
        image.addEventListener('load', () => URL.revokeObjectURL(url));
        image.src = url;
        image.loading = 'eager';
      } catch {
        failed();
      }
    }
  }
}
