// The divider of two pictures that lie on each other: the earlier one is shown on its left, the later one on its right. A range
// beneath it serves the keyboard and screen readers. A pointer moves it from anywhere on the picture.

/** The most that a finger may move during a tap, in pixels. */
const TAP = 8;
/** The duration of a move by itself, in milliseconds. */
const GLIDE = 700;

/** Whether the user wants no motion. */
export const calm = matchMedia('(prefers-reduced-motion: reduce)');
/** A motion's way, 0 to 1, after this part of its time: it starts and ends slowly. */
export const eased = (part) => part * part * (3 - 2 * part);

/**
 * Calls `point` with the share of an element's width, 0 to 1, at which a pointer is pressed or dragged, and whether it is dragged.
 * `usable` says whether the element takes pointers at present.
 */
export function drag(element, point, usable = () => true) {
  // The position where the pointer went down, and whether its moves count already.
  let held = null;
  const report = (event, dragged) => {
    const box = element.getBoundingClientRect();
    point(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)), dragged);
  };
  element.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !usable() || event.target.closest('button')) return;
    // A finger may be about to scroll the page. It counts once it moves sideways, or is lifted without moving.
    held = { x: event.clientX, y: event.clientY, counts: event.pointerType !== 'touch' };
    element.setPointerCapture(event.pointerId);
    if (held.counts) report(event, false);
  });
  const moved = (event) => [Math.abs(event.clientX - held.x), Math.abs(event.clientY - held.y)];
  element.addEventListener('pointermove', (event) => {
    if (!held) return;
    const [across, along] = moved(event);
    held.dragged ||= across > TAP && across > along;
    held.counts ||= held.dragged;
    if (held.counts) report(event, Boolean(held.dragged));
  });
  element.addEventListener('pointerup', (event) => {
    if (held && !held.counts && Math.max(...moved(event)) <= TAP) report(event, false);
  });
  for (const end of ['pointerup', 'pointercancel']) element.addEventListener(end, () => (held = null));
}

export class Divider {
  #element;
  #range;
  #frame = 0;
  #moved;

  /** `element` has the pictures and a range. `moved` is called when the user has moved the divider. */
  constructor(element, moved = () => {}) {
    this.#element = element;
    this.#range = element.querySelector('input');
    this.#moved = moved;
    drag(element, (share) => this.#take(share), () => element.classList.contains('parted'));
    this.#range.addEventListener('input', () => this.#take(this.#range.valueAsNumber / 100));
    this.#describe();
  }

  /** The share of the width on the left of the divider, 0 to 1. */
  get share() {
    return this.#range.valueAsNumber / 100;
  }

  /** Whether the pictures are divided. Else the one on the right is shown alone. */
  set shown(shown) {
    this.#element.classList.toggle('parted', shown);
    this.#range.hidden = !shown;
  }

  #take(share) {
    this.stop();
    this.set(share);
    this.#moved();
  }

  set(share) {
    this.#element.classList.remove('inviting');
    this.#element.style.setProperty('--share', `${share * 100}%`);
    this.#range.value = share * 100;
    this.#describe();
  }

  #describe() {
    this.#range.setAttribute('aria-valuetext', `${Math.round(this.share * 100)} % of the width`);
    // A label has no room beside an edge.
    this.#element.classList.toggle('far-left', this.share < 0.2);
    this.#element.classList.toggle('far-right', this.share > 0.8);
  }

  /** Moves by itself, or at once if the user wants no motion, and calls `over` at the end. */
  glide(to, over = () => {}) {
    this.stop();
    if (calm.matches) {
      this.set(to);
      return over();
    }
    const [from, start] = [this.share, performance.now()];
    const step = (now) => {
      const part = Math.min(1, Math.max(0, now - start) / GLIDE);
      this.set(from + (to - from) * eased(part));
      this.#frame = part < 1 ? requestAnimationFrame(step) : 0;
      if (part === 1) over();
    };
    this.#frame = requestAnimationFrame(step);
    return undefined;
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }
}
