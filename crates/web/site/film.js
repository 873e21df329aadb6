// The strip of pictures below the large one, which chooses the age. Every picture has the same width, and the middle of a picture
// is its age. A range beneath it serves the keyboard and screen readers.

import { drag } from './divider.js';
import { years } from './words.js';

const $ = (id) => document.getElementById(id);

/** A small picture of one age. */
export function cell(url) {
  const image = new Image();
  Object.assign(image, { src: url, alt: '', draggable: false, className: 'cell' });
  return image;
}

export class Film {
  /** The ages of the pictures, youngest first. */
  ages = [];

  /** `travel` gets the age that the user has chosen. */
  constructor(travel) {
    drag($('film'), (share, dragged) => {
      const at = share * this.ages.length - 0.5;
      travel(dragged ? Math.round(this.#ageAt(at)) : this.ages[this.#within(Math.round(at))]);
    });
    const time = $('time');
    time.addEventListener('input', () => travel(time.valueAsNumber));
    time.addEventListener('keydown', (event) => {
      const [age, { key }] = [time.valueAsNumber, event];
      const next = key === 'PageUp' ? this.ages.find((other) => other > age) : key === 'PageDown' ? this.ages.findLast((other) => other < age) : undefined;
      if (!['PageUp', 'PageDown'].includes(key)) return;
      event.preventDefault();
      if (next !== undefined) travel(next);
    });
  }

  #within(at) {
    return Math.min(this.ages.length - 1, Math.max(0, at));
  }

  /** The age at a place, of which 0 is the middle of the first picture, and 1 that of the second. */
  #ageAt(place) {
    const at = this.#within(place);
    const [one, two] = [Math.floor(at), Math.ceil(at)].map((n) => this.ages[n]);
    return one + (two - one) * (at % 1);
  }

  /** The place of an age. */
  #placeOf(age) {
    const above = this.ages.findIndex((other) => other >= age);
    if (above < 0) return this.ages.length - 1;
    if (above === 0) return 0;
    const [one, two] = [this.ages[above - 1], this.ages[above]];
    return above - 1 + (age - one) / (two - one);
  }

  /** Shows these pictures `{age, url}`, youngest first. */
  set(panels) {
    this.ages = panels.map(({ age }) => age);
    document.querySelector('.frames').replaceChildren(...panels.map(({ age, url }) => {
      const frame = document.createElement('span');
      const name = document.createElement('b');
      name.textContent = age;
      frame.append(cell(url), name);
      return frame;
    }));
    $('film').parentElement.style.setProperty('--count', panels.length);
    $('film').classList.toggle('many', panels.length > 8);
    // The value of a range is kept within its limits at once, so the limits come first.
    Object.assign($('time'), { min: this.ages[0] ?? 0, max: this.ages.at(-1) ?? 0 });
  }

  /** Moves the head to an age. */
  show(age) {
    $('time').value = age;
    $('time').setAttribute('aria-valuetext', years(Math.round(age)));
    $('film').style.setProperty('--at', `${((this.#placeOf(age) + 0.5) / this.ages.length) * 100}%`);
    [...document.querySelectorAll('.frames span')].forEach((frame, n) => frame.classList.toggle('here', this.ages[n] === Math.round(age)));
  }

  /** Shows the first pictures only. */
  reveal(count) {
    [...document.querySelectorAll('.frames span')].forEach((frame, n) => frame.classList.toggle('hidden', n >= count));
    $('film').classList.toggle('unfolding', count < this.ages.length);
  }
}
