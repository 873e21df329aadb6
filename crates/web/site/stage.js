// One large picture at any age. The picture of the next age lies on that of the age before. It is the more opaque the nearer
// the age is to it. The original lies on top, left of the divider.

import { calm } from './divider.js';

/** The speed of a transition: the share of the way that is left after a second, as a power of ten. */
const EASE = -4;

export class Stage {
  #element;
  /** `{age, image}`, youngest first. */
  #panels = [];
  #original = null;
  #shown = 0;
  #wanted = 0;
  #frame = 0;

  constructor(element) {
    this.#element = element;
  }

  /** Shows a portrait: the original's URL, and `{age, url}` of each age, youngest first. */
  async set(original, panels) {
    this.clear();
    const image = (url) => Object.assign(new Image(), { draggable: false, alt: '', src: url });
    this.#panels = panels.map(({ age, url }) => ({ age, image: image(url) }));
    this.#original = image(original);
    this.#original.className = 'original';
    this.#element.append(...this.#panels.map((panel) => panel.image), this.#original);
    // Decoding now keeps transitions smooth.
    await Promise.allSettled([...this.#panels.map((panel) => panel.image.decode()), this.#original.decode()]);
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#element.replaceChildren();
    this.#panels = [];
    this.#original = null;
  }

  /** Shows an age, smoothly or at once. */
  go(age, { smoothly = true } = {}) {
    this.#wanted = age;
    if (!smoothly || calm.matches) {
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.#show(age);
    } else if (!this.#frame) {
      let last = performance.now();
      const step = (now) => {
        const left = 10 ** ((EASE * Math.min(now - last, 100)) / 1000);
        last = now;
        const rest = (this.#shown - this.#wanted) * left;
        const there = Math.abs(rest) < 0.05;
        this.#show(there ? this.#wanted : this.#wanted + rest);
        this.#frame = there ? 0 : requestAnimationFrame(step);
      };
      this.#frame = requestAnimationFrame(step);
    }
  }

  #show(age) {
    this.#shown = age;
    const panels = this.#panels;
    const above = panels.findIndex((panel) => panel.age >= age);
    const later = above < 0 ? panels.length - 1 : above;
    const earlier = panels[later].age === age ? later : Math.max(0, later - 1);
    const span = panels[later].age - panels[earlier].age;
    panels.forEach(({ image }, n) => {
      image.style.visibility = n === earlier || n === later ? 'visible' : 'hidden';
      image.style.opacity = n === later && span > 0 ? (age - panels[earlier].age) / span : 1;
    });
  }

  /** Draws what is shown onto a square canvas, with the original up to a share of the width. */
  draw(canvas, share) {
    const { width } = canvas;
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    for (const { image } of this.#panels) {
      if (image.style.visibility === 'hidden') continue;
      context.globalAlpha = Number(image.style.opacity);
      context.drawImage(image, 0, 0, width, width);
    }
    context.globalAlpha = 1;
    if (share <= 0) return;
    const { naturalWidth, naturalHeight } = this.#original;
    context.drawImage(this.#original, 0, 0, naturalWidth * share, naturalHeight, 0, 0, width * share, width);
  }

  /** Describes the picture for screen readers. */
  describe(text) {
    this.#element.setAttribute('role', 'img');
    this.#element.setAttribute('aria-label', text);
  }
}
