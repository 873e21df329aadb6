// What leaves the page: pictures, the animation, the picture that is shown, and the link.

import { open } from './menu.js';

const $ = (id) => document.getElementById(id);

export class Saving {
  #shown;

  /**
   * `shown` returns what is shown: `{entry, stem, pictures, stage, view}`, with `view` as `still` takes it, or null. `paused` is
   * called before a picture is taken.
   */
  constructor(shown, paused) {
    this.#shown = shown;
    const can = Boolean(navigator.share || navigator.clipboard);
    $('share').hidden = !can;
    $('save').addEventListener('click', () => {
      paused();
      this.#offer();
    });
    $('share').addEventListener('click', () => {
      paused();
      this.#share();
    });
  }

  /** Reports in a line beside the buttons. */
  report(text) {
    if ($('saved').textContent !== text) $('saved').textContent = text;
  }

  #offer() {
    const { pictures } = this.#shown();
    open($('save'), [
      { text: 'Animation of all ages (GIF)', run: () => this.#trying(() => this.#animate()) },
      { text: 'Before and after (JPEG)', run: () => this.#trying(() => this.#keep()) },
      ...pictures.map(({ age, url, name }) => ({ text: age === null ? 'Original' : `At ${age}`, href: url, download: name })),
    ]);
  }

  async #trying(what) {
    try {
      await what();
    } catch (error) {
      // A share sheet that the user has closed is no failure.
      if (error.name !== 'AbortError') this.report(`That did not work: ${error.message}`);
    }
  }

  async #animate() {
    const { entry, stem, pictures } = this.#shown();
    const { animation } = await import('./animation.js');
    const blob = await animation(pictures, (share) => {
      if (this.#shown()?.entry === entry) this.report(`Making the animation: ${Math.round(share * 4) * 25} %`);
    });
    this.#download(blob, `${stem}.gif`);
  }

  async #picture(type) {
    const { stage, view } = this.#shown();
    const { still, encoded } = await import('./still.js');
    return encoded(still(stage, view), type);
  }

  async #keep() {
    const { name } = this.#shown().view;
    this.#download(await this.#picture('image/jpeg'), name);
  }

  #download(blob, name) {
    const link = document.createElement('a');
    Object.assign(link, { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.report(`${name}, ${blob.size < 1e6 ? `${Math.round(blob.size / 1e3)} kB` : `${(blob.size / 1e6).toFixed(1)} MB`}`);
  }

  /** Opens the system's share sheet with the picture that is shown. Without one, the picture or the link can be copied. */
  #share() {
    const { name } = this.#shown().view;
    const file = (blob) => new File([blob], name, { type: 'image/jpeg' });
    if (navigator.canShare?.({ files: [file('')] })) {
      return this.#trying(async () => navigator.share({ files: [file(await this.#picture('image/jpeg'))] }));
    }
    const items = [{ text: 'Copy the link', run: () => this.#trying(() => this.#link()) }];
    if (window.ClipboardItem) items.push({ text: 'Copy this picture', run: () => this.#trying(() => this.#copy()) });
    return open($('share'), items);
  }

  async #link() {
    await navigator.clipboard.writeText(location.href);
    this.report('The link is copied.');
  }

  async #copy() {
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': this.#picture('image/png') })]);
    this.report('The picture is copied.');
  }
}
