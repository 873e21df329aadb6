// Deletions that can be undone. A portrait leaves the page at once, and the pipeline some seconds later, or with the page.

const $ = (id) => document.getElementById(id);
/** How long a deletion can be undone, in seconds. The time stands still while the pointer or the focus is on the message. */
const GRACE = 10;

export class Bin {
  #portraits;
  #entry = null;
  #timer = 0;
  #undone;

  /** `undone` is called with a portrait that came back. */
  constructor(portraits, { say, warn, undone }) {
    this.#portraits = portraits;
    this.#undone = undone;
    this.say = say;
    this.warn = warn;
    $('undo').addEventListener('click', () => this.#undo());
    addEventListener('keydown', (event) => {
      const typing = event.target.matches('input:not([type="range"], [type="checkbox"])');
      if (this.#entry && !typing && event.key === 'z' && (event.ctrlKey || event.metaKey)) this.#undo();
    });
    for (const over of ['pointerenter', 'focusin']) $('undoing').addEventListener(over, () => clearTimeout(this.#timer));
    for (const away of ['pointerleave', 'focusout']) $('undoing').addEventListener(away, () => this.#wait());
    addEventListener('pagehide', () => this.#empty());
  }

  /** Deletes a finished portrait, and offers to undo it. An earlier deletion becomes final. */
  take(entry) {
    this.#empty();
    this.#entry = entry;
    this.#portraits.discard(entry);
    $('undoing-what').textContent = `${entry.name} is deleted.`;
    $('undoing').hidden = false;
    this.say(`${entry.name} is deleted. Control Z undoes it.`);
    this.#wait();
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#entry) this.#timer = setTimeout(() => this.#empty(), GRACE * 1000);
  }

  #close() {
    clearTimeout(this.#timer);
    const entry = this.#entry;
    this.#entry = null;
    if ($('undoing').contains(document.activeElement)) $('earlier-title').focus();
    $('undoing').hidden = true;
    return entry;
  }

  #undo() {
    const entry = this.#close();
    this.#portraits.restore(entry);
    this.say(`${entry.name} is back.`);
    this.#undone(entry);
  }

  async #empty() {
    if (!this.#entry) return;
    const entry = this.#close();
    try {
      await this.#portraits.remove(entry);
    } catch (error) {
      this.#portraits.restore(entry);
      this.warn(`${entry.name} is not deleted. ${error.message}`);
    }
  }
}
