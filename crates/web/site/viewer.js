// The portrait that is open: how its job goes, and its pictures.

import * as api from './api.js';
import { Stage } from './stage.js';
import { failure, list, years } from './words.js';

const $ = (id) => document.getElementById(id);
/** How long a journey through all ages takes, in milliseconds. */
const JOURNEY = 6000;

export class Viewer {
  #portraits;
  #entry = null;
  /** The revision of the pictures on the stage. */
  #shown = null;
  /** URLs of the pictures on the stage, in the job's order: `{age, url, name}`. */
  #pictures = [];
  #playing = 0;
  #stage = new Stage($('stage'), {
    travel: (age) => this.#travel(age),
    part: (share) => {
      $('split').value = share * 100;
      this.#compare();
    },
  });

  constructor(portraits, { say, sure, opened }) {
    this.#portraits = portraits;
    this.say = say;
    portraits.addEventListener('change', (event) => event.detail === this.#entry && this.#update());
    $('time').addEventListener('input', () => this.#travel($('time').valueAsNumber));
    $('play').addEventListener('click', () => (this.#playing ? this.#pause() : this.#play()));
    $('compare').addEventListener('change', () => this.#compare());
    $('split').addEventListener('input', () => this.#compare());
    $('gif').addEventListener('click', () => this.#animate());
    $('again').addEventListener('click', async () => opened(await this.#portraits.resend(this.#entry)));
    $('cancel').addEventListener('click', () => this.#remove());
    $('delete').addEventListener('click', async () => (await sure(this.#entry)) && this.#remove());
  }

  /** Shows a portrait; null: none. */
  open(entry) {
    if (entry === this.#entry) return;
    this.#clear();
    this.#entry = entry;
    $('viewer').hidden = !entry;
    document.body.classList.toggle('open', Boolean(entry));
    if (!entry) return;
    $('viewer-title').textContent = entry.id;
    if (entry.photo && entry.running) {
      $('sent').src = URL.createObjectURL(entry.photo);
      $('sent').hidden = false;
    }
    this.#update();
  }

  get entry() {
    return this.#entry;
  }

  #clear() {
    this.#pause();
    this.#stage.clear();
    for (const { url } of this.#pictures) URL.revokeObjectURL(url);
    if (!$('sent').hidden) URL.revokeObjectURL($('sent').src);
    $('sent').hidden = true;
    this.#pictures = [];
    this.#shown = null;
    $('film').replaceChildren();
    $('files').replaceChildren();
    $('gif-told').textContent = '';
    $('result').hidden = $('sketch').hidden = true;
  }

  async #remove() {
    try {
      await this.#portraits.remove(this.#entry);
    } catch (error) {
      $('told').textContent = $('failed-why').textContent = error.message;
      this.say(error.message);
    }
  }

  #update() {
    const entry = this.#entry;
    if (this.#portraits.get(entry.id) !== entry) {
      location.hash = '#/';
      return;
    }
    const { phase, job } = entry;
    $('underway').hidden = !entry.running;
    $('failed').hidden = !['failed', 'cancelled'].includes(phase);
    $('delete').hidden = entry.running;
    if (entry.running) this.#tellProgress(entry);
    if (phase === 'failed' || phase === 'cancelled') {
      const { title, why } = entry.problem ? { title: 'It was not taken', why: entry.problem.message }
        : phase === 'cancelled' ? { title: 'Cancelled', why: 'Nothing was made of this portrait.' } : failure(job.error);
      $('failed-title').textContent = title;
      $('failed-why').textContent = why;
      // The same again, where that may end otherwise.
      const may = phase === 'cancelled' || entry.problem || ['MODEL_ERROR', 'TIMEOUT'].includes(job.error.code);
      $('again').hidden = !(entry.file && may);
      this.say(`${title}. ${why}`);
    }
    if (phase === 'done' && this.#shown !== job.revision) this.#show(entry);
  }

  #tellProgress({ phase, uploaded, trouble, ages, job }) {
    for (const step of document.querySelectorAll('.steps li')) {
      step.toggleAttribute('aria-current', step.dataset.step === phase);
      if (step.dataset.step === phase) step.setAttribute('aria-current', 'step');
    }
    if (phase === 'uploading' && !trouble) $('progress').value = uploaded;
    else $('progress').removeAttribute('value');
    const wanted = list(job?.ages.length ? job.ages : ages);
    const words = {
      uploading: 'The photograph is on its way.',
      queued: 'The photograph is there. Its turn comes soon; this page may be closed meanwhile.',
      working: `The face is being aged${wanted ? ` to ${wanted}` : ''}.`,
    };
    const text = trouble ?? words[phase];
    // Said once, not at every look.
    if ($('told').textContent === text) return;
    $('told').textContent = text;
    this.say(text);
  }

  /** Fetches the pictures of a finished job and puts them on the stage. */
  async #show(entry) {
    const { job } = entry;
    this.#clear();
    this.#shown = job.revision;
    let blobs;
    for (;;) {
      try {
        blobs = await Promise.all(job.images.map(({ path }) => api.picture(path)));
        break;
      } catch (error) {
        if (entry !== this.#entry) return;
        $('underway').hidden = false;
        $('told').textContent = error.message;
        if (!(error instanceof api.Unreachable)) return;
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
    }
    if (entry !== this.#entry || this.#shown !== job.revision) return;
    this.#pictures = job.images.map(({ age, path }, n) => {
      const name = `${job.id}-${age === null ? 'original' : `at-${age}`}.${path.split('.').at(-1)}`;
      return { age, url: URL.createObjectURL(blobs[n]), name };
    });
    const [original, ...aged] = this.#pictures;
    const once = new Map(aged.map((picture) => [picture.age, picture]));
    const panels = [...once.values()].sort((one, two) => one.age - two.age);
    this.#fill(original, panels);
    const arrived = this.#stage.set(original.url, panels);
    const time = $('time');
    Object.assign(time, { min: panels[0].age, max: panels.at(-1).age, step: 1 });
    for (const element of [time.parentElement, $('play')]) element.hidden = panels.length < 2;
    $('sketch').hidden = $('sketch-why').hidden = job.model !== 'preview';
    $('between').textContent = panels.length < 2 ? '' : `The pictures are of ${list(panels.map(({ age }) => age))}; what is between them is blended.`;
    $('underway').hidden = true;
    $('result').hidden = false;
    this.#travel(panels.at(-1).age, { smoothly: false });
    this.#compare();
    await arrived;
    this.say(`Done: ${job.id} at ${list(panels.map(({ age }) => age))}.`);
  }

  #fill(original, panels) {
    const ticks = document.querySelector('.ticks');
    const [first, last] = [panels[0].age, panels.at(-1).age];
    ticks.replaceChildren(...panels.map(({ age }) => {
      const tick = document.createElement('span');
      tick.style.left = `${((age - first) / (last - first || 1)) * 100}%`;
      return tick;
    }));
    const item = (child) => {
      const element = document.createElement('li');
      element.append(child);
      return element;
    };
    $('film').replaceChildren(...[original, ...panels].map(({ age, url }) => {
      const button = document.createElement('button');
      const image = new Image();
      Object.assign(image, { src: url, alt: '' });
      button.type = 'button';
      if (age !== null) button.dataset.age = age;
      button.append(image, age === null ? 'Original' : String(age));
      button.setAttribute('aria-label', age === null ? 'Show the original' : `Show at ${age}`);
      button.addEventListener('click', () => {
        this.#pause();
        $('compare').checked = age === null;
        if (age === null) $('split').value = 100;
        else this.#travel(age);
        this.#compare();
      });
      return item(button);
    }));
    $('files').replaceChildren(...[original, ...panels].map(({ age, url, name }) => {
      const link = document.createElement('a');
      Object.assign(link, { href: url, download: name, textContent: age === null ? 'Original' : `At ${age}` });
      return item(link);
    }));
  }

  #travel(age, { smoothly = true, played = false } = {}) {
    if (!played) this.#pause();
    const time = $('time');
    time.value = age;
    time.setAttribute('aria-valuetext', years(Math.round(age)));
    $('age').textContent = Math.round(age);
    for (const button of $('film').querySelectorAll('button')) button.classList.toggle('here', button.dataset.age === String(Math.round(age)));
    this.#stage.go(age, { smoothly });
    this.#describe();
  }

  #compare() {
    const on = $('compare').checked;
    const share = $('split').valueAsNumber;
    $('split-label').hidden = !on;
    $('split').setAttribute('aria-valuetext', `${Math.round(share)} % of the width`);
    this.#stage.compare(on ? share / 100 : null);
    this.#describe();
  }

  #describe() {
    const beside = $('compare').checked ? ', beside the original' : '';
    this.#stage.describe(`${this.#entry.id}, ${years(Math.round($('time').valueAsNumber))}${beside}`);
  }

  #play() {
    const { youngest, oldest } = this.#stage;
    const start = performance.now();
    // From where it stands, up, down and on.
    const now = ($('time').valueAsNumber - youngest) / (oldest - youngest);
    const begin = now === 1 ? 1 : now;
    const step = (moment) => {
      const way = (begin + Math.max(0, moment - start) / JOURNEY) % 2;
      this.#travel(youngest + (way > 1 ? 2 - way : way) * (oldest - youngest), { smoothly: false, played: true });
      this.#playing = requestAnimationFrame(step);
    };
    this.#playing = requestAnimationFrame(step);
    $('play').textContent = 'Pause';
    $('play').setAttribute('aria-pressed', 'true');
  }

  #pause() {
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    $('play').textContent = 'Play';
    $('play').setAttribute('aria-pressed', 'false');
  }

  async #animate() {
    const told = $('gif-told');
    const entry = this.#entry;
    $('gif').disabled = true;
    try {
      const { animation } = await import('./animation.js');
      const blob = await animation(this.#pictures, (share) => {
        told.textContent = `Making it: ${Math.round(share * 10) * 10} %`;
      });
      const link = document.createElement('a');
      Object.assign(link, { href: URL.createObjectURL(blob), download: `${entry.id}.gif` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      told.textContent = `${link.download}, ${(blob.size / 1e6).toFixed(1)} MB`;
    } catch (error) {
      told.textContent = `The animation cannot be made: ${error.message}`;
    } finally {
      $('gif').disabled = false;
    }
  }
}
