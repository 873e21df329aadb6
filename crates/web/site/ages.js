// The choice of ages: 1 to 16 whole numbers from 0 to 100. The last choice is remembered.

import { browser } from './memory.js';

const $ = (id) => document.getElementById(id);
const OFFERED = [10, 20, 30, 40, 50, 60, 70, 80, 90];
const USUAL = [20, 40, 60, 80];
const MOST = 16;

export class Ages {
  constructor() {
    const kept = browser.get('ages');
    const good = (age) => Number.isInteger(age) && age >= 0 && age <= 100;
    const chosen = Array.isArray(kept) && kept.length > 0 && kept.length <= MOST && kept.every(good) ? kept : USUAL;
    for (const age of new Set([...OFFERED, ...chosen])) this.#offer(age, chosen.includes(age));
    $('ages').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#add();
    });
    $('chips').addEventListener('change', (event) => this.#changed(event.target));
    this.#report();
    // Until here nothing handled the form, so an age that was entered would have been lost.
    $('ages').firstElementChild.disabled = false;
  }

  /** The chosen ages, youngest first. */
  get chosen() {
    return [...$('chips').querySelectorAll('input:checked')].map((box) => Number(box.value));
  }

  #offer(age, checked) {
    const label = document.createElement('label');
    const box = document.createElement('input');
    Object.assign(box, { type: 'checkbox', value: age, checked });
    const text = document.createElement('span');
    text.textContent = age;
    label.append(box, text);
    const after = [...$('chips').children].find((other) => Number(other.firstChild.value) > age);
    $('chips').insertBefore(label, after ?? null);
    return box;
  }

  #add() {
    const field = $('another');
    const age = field.valueAsNumber;
    if (!Number.isInteger(age) || age < 0 || age > 100) {
      this.#report('An age is a whole number from 0 to 100.');
      return;
    }
    const box = $('chips').querySelector(`input[value="${age}"]`) ?? this.#offer(age, false);
    box.checked = true;
    field.value = '';
    this.#changed(box);
  }

  /** Keeps the number of ages within the limits, and remembers the choice. */
  #changed(box) {
    const { length } = this.chosen;
    if (length > MOST) box.checked = false;
    if (length === 0) box.checked = true;
    if (length > MOST) this.#report(`${MOST} ages at most: remove one first.`);
    else if (length === 0) this.#report('At least one age is needed: choose another first.');
    else this.#report();
    browser.set('ages', this.chosen);
  }

  #report(text = `${this.chosen.length} chosen, ${MOST} at most`) {
    $('ages-message').textContent = text;
  }
}
