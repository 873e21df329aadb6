// One large picture at any age. The picture of the next age lies on that of the age before. It is the more opaque the nearer
// the age is to it. The original lies on top, up to the divider.

/** The speed of a transition: the share of the way that is left after a second, as a power of ten. */
const EASE = -4;

/** The most that a finger may move during a tap, in pixels. */
const TAP = 8;

export class Stage {
  #element;
  #divider;
  /** `{age, image}`, youngest first. */
  #panels = [];
  #original = null;
  #shown = 0;
  #wanted = 0;
  #frame = 0;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');

  /** A pointer on the picture chooses an age, passed to `travel`, or a share of the width for the divider, passed to `part`. */
  constructor(element, { travel, part }) {
    this.#element = element;
    this.#divider = element.querySelector('.divider');
    // The position where the pointer went down, and whether its moves count already.
    let held = null;
    const point = (event) => {
      const box = element.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      if (!this.#divider.hidden) part(share);
      else if (this.#panels.length > 1) travel(Math.round(this.youngest + share * (this.oldest - this.youngest)));
    };
    element.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      // A finger may be about to scroll the page. It counts once it moves sideways, or is lifted without moving.
      held = { x: event.clientX, y: event.clientY, counts: event.pointerType !== 'touch' };
      element.setPointerCapture(event.pointerId);
      if (held.counts) point(event);
    });
    const moved = (event) => [Math.abs(event.clientX - held.x), Math.abs(event.clientY - held.y)];
    element.addEventListener('pointermove', (event) => {
      if (!held) return;
      const [across, along] = moved(event);
      held.counts ||= across > TAP && across > along;
      if (held.counts) point(event);
    });
    element.addEventListener('pointerup', (event) => {
      if (held && (held.counts || Math.max(...moved(event)) <= TAP)) point(event);
    });
    for (const end of ['pointerup', 'pointercancel']) element.addEventListener(end, () => (held = null));
  }

  get youngest() {
    return this.#panels[0]?.age ?? 0;
  }

  get oldest() {
    return this.#panels.at(-1)?.age ?? 0;
  }

  /** Shows a portrait: the original's URL, and `{age, url}` of each age, youngest first. */
  async set(original, panels) {
    this.clear();
    const image = (url) => {
      const element = new Image();
      element.draggable = false;
      element.alt = '';
      element.src = url;
      return element;
    };
    this.#panels = panels.map(({ age, url }) => ({ age, image: image(url) }));
    this.#original = image(original);
    this.#original.className = 'original';
    this.#element.prepend(...this.#panels.map((panel) => panel.image), this.#original);
    // Decoding now keeps transitions smooth.
    await Promise.allSettled([...this.#panels.map((panel) => panel.image.decode()), this.#original.decode()]);
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const image of this.#element.querySelectorAll('img')) image.remove();
    this.#panels = [];
    this.#original = null;
  }

  /** Shows an age, smoothly or at once. */
  go(age, { smoothly = true } = {}) {
    this.#wanted = age;
    if (!smoothly || this.#calm.matches) {
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

  /** Shows the original up to a share of the width, with a divider at its edge. Null hides the original. */
  compare(share, { divided = true } = {}) {
    this.#divider.hidden = share === null || !divided;
    this.#divider.style.left = `${(share ?? 0) * 100}%`;
    if (this.#original) this.#original.style.clipPath = `inset(0 ${(1 - (share ?? 0)) * 100}% 0 0)`;
  }

  /** Describes the picture for screen readers. */
  describe(text) {
    this.#element.setAttribute('role', 'img');
    this.#element.setAttribute('aria-label', text);
  }
}
