// The open portrait: the progress of its job, then its pictures.

import * as api from './api.js';
import { Stage } from './stage.js';
import { failure, list, sentence, years } from './words.js';

const $ = (id) => document.getElementById(id);
/** The duration of a journey through all ages, in milliseconds. */
const JOURNEY = 6000;
/** The number of requests for pictures that are refused, two seconds apart. */
const TRIES = 3;

export class Viewer {
  #portraits;
  #entry = null;
  /** The revision of the pictures that are shown or being fetched. */
  #shown = null;
  /** Counts the portraits shown, so that late answers for an earlier one are recognized. */
  #turn = 0;
  /** Whether only the original is shown. */
  #alone = false;
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

  constructor(portraits, { say, warn, sure, opened }) {
    this.#portraits = portraits;
    this.say = say;
    this.warn = warn;
    portraits.addEventListener('change', (event) => event.detail === this.#entry && this.#update());
    $('time').addEventListener('input', () => this.#travel($('time').valueAsNumber));
    $('play').addEventListener('click', () => (this.#playing ? this.#pause() : this.#play()));
    for (const [id, event] of [['compare', 'change'], ['split', 'input']]) {
      $(id).addEventListener(event, () => {
        this.#alone = false;
        this.#compare();
      });
    }
    $('gif').addEventListener('click', () => this.#animate());
    $('again').addEventListener('click', async () => {
      if (this.#entry.phase === 'done') this.#show(this.#entry);
      else opened(await this.#portraits.resend(this.#entry));
    });
    $('cancel').addEventListener('click', () => this.#remove());
    $('delete').addEventListener('click', async () => (await sure(this.#entry)) && this.#remove());
  }

  /** Shows a portrait. Null closes the viewer. */
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
    this.#alone = false;
    this.#turn++;
    $('film').replaceChildren();
    $('files').replaceChildren();
    $('gif-message').textContent = '';
    $('result').hidden = $('sketch').hidden = true;
  }

  async #remove() {
    try {
      await this.#portraits.remove(this.#entry);
    } catch (error) {
      this.warn(error.message);
    }
  }

  #update() {
    const entry = this.#entry;
    const { phase, job } = entry;
    if (phase === 'done') {
      if (this.#shown !== job.revision) this.#show(entry);
      return;
    }
    this.#shown = null;
    $('result').hidden = $('sketch').hidden = true;
    $('underway').hidden = !entry.running;
    $('failed').hidden = entry.running;
    $('delete').hidden = entry.running;
    if (entry.running) this.#showProgress(entry);
    else {
      const { title, why } = entry.problem ? { title: 'The photograph was refused', why: sentence(entry.problem.message) }
        : phase === 'cancelled' ? { title: 'Cancelled', why: 'No pictures were made.' } : failure(job.error);
      // Sending the same photograph again is offered only where the result may differ.
      const may = phase === 'cancelled' || entry.problem || ['MODEL_ERROR', 'TIMEOUT'].includes(job.error.code);
      this.#fail(title, why, entry.file && may ? 'Send it again' : null);
    }
  }

  /** Shows why there are no pictures and what to do. `button` is the text of the button for it, or null. */
  #fail(title, why, button) {
    $('underway').hidden = true;
    $('failed').hidden = false;
    $('failed-title').textContent = title;
    $('failed-why').textContent = why;
    $('again').hidden = !button;
    $('again').textContent = button;
    this.say(`${title}. ${why}`);
  }

  #showProgress({ phase, uploaded, trouble, ages, job }) {
    for (const step of document.querySelectorAll('.steps li')) {
      if (step.dataset.step === phase) step.setAttribute('aria-current', 'step');
      else step.removeAttribute('aria-current');
    }
    $('cancel').hidden = phase === 'done';
    if (phase === 'uploading' && !trouble) $('progress').value = uploaded;
    else $('progress').removeAttribute('value');
    const wanted = list(job?.ages.length ? job.ages : ages);
    const words = {
      uploading: 'The photograph is on its way.',
      queued: 'The photograph has arrived and waits for its turn. You may close this page meanwhile.',
      working: `The face is being aged${wanted ? ` to ${wanted}` : ''}.`,
      done: 'The pictures are on their way.',
    };
    const text = trouble ?? words[phase];
    // A text is announced only when it changes.
    if ($('message').textContent === text) return;
    $('message').textContent = text;
    this.say(text);
  }

  /** Fetches the pictures of a finished job and shows them. */
  async #show(entry) {
    const { job } = entry;
    this.#clear();
    const turn = this.#turn;
    this.#shown = job.revision;
    $('failed').hidden = true;
    $('underway').hidden = false;
    $('delete').hidden = false;
    this.#showProgress({ ...entry, job, phase: 'done', trouble: null });
    let blobs;
    for (let tries = 1; !blobs; ) {
      try {
        blobs = await Promise.all(job.images.map(({ path }) => api.picture(path)));
      } catch (error) {
        if (turn !== this.#turn) return;
        if (!(error instanceof api.Unreachable) && tries++ === TRIES) {
          this.#fail('The pictures cannot be shown', error.message, 'Try again');
          return;
        }
        this.#showProgress({ ...entry, job, phase: 'done', trouble: `${error.message} Trying again.` });
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
      if (turn !== this.#turn) return;
    }
    this.#pictures = job.images.map(({ age }, n) => {
      const extension = blobs[n].type === 'image/png' ? 'png' : 'jpg';
      const name = `${job.id}-${age === null ? 'original' : `at-${age}`}.${extension}`;
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
    $('between').textContent = panels.length < 2 ? '' : `The pictures show the ages ${list(panels.map(({ age }) => age))}. Ages in between are blended.`;
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
      Object.assign(image, { src: url, alt: '', draggable: false });
      button.type = 'button';
      button.dataset.age = age ?? 'original';
      button.append(image, age === null ? 'Original' : String(age));
      button.setAttribute('aria-label', age === null ? 'Show the original' : `Show at ${age}`);
      button.addEventListener('click', () => {
        this.#pause();
        this.#alone = age === null;
        $('compare').checked = false;
        if (age !== null) this.#travel(age);
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
    const time = $('time');
    time.value = age;
    this.#stage.go(age, { smoothly });
    if (this.#alone) {
      this.#alone = false;
      this.#compare();
    }
    // During a journey nothing is announced.
    if (played) $('age').textContent = Math.round(age);
    else {
      this.#pause();
      time.setAttribute('aria-valuetext', years(Math.round(age)));
      this.#describe();
    }
  }

  #compare() {
    const on = $('compare').checked;
    const share = $('split').valueAsNumber;
    $('split-label').hidden = !on;
    $('split').setAttribute('aria-valuetext', `${Math.round(share)} % of the width`);
    this.#stage.compare(this.#alone ? 1 : on ? share / 100 : null, { divided: on });
    this.#describe();
  }

  /** Announces which picture is shown, and marks it in the film. */
  #describe() {
    const age = Math.round($('time').valueAsNumber);
    const beside = $('compare').checked ? ', beside the original' : '';
    this.#stage.describe(this.#alone ? `${this.#entry.id}, the original` : `${this.#entry.id}, ${years(age)}${beside}`);
    $('age').textContent = this.#alone ? '–' : age;
    const film = $('film');
    for (const button of film.querySelectorAll('button')) {
      const here = button.dataset.age === (this.#alone ? 'original' : String(age));
      if (!here) button.removeAttribute('aria-current');
      else {
        button.setAttribute('aria-current', 'true');
        // Centres the picture in the film without scrolling the page.
        film.scrollLeft = button.offsetLeft - film.offsetLeft - (film.clientWidth - button.offsetWidth) / 2;
      }
    }
  }

  #play() {
    const { youngest, oldest } = this.#stage;
    const start = performance.now();
    // The journey starts at the current age, goes up, then down, and so on.
    const now = ($('time').valueAsNumber - youngest) / (oldest - youngest);
    const begin = now === 1 ? 1 : now;
    const step = (moment) => {
      const way = (begin + Math.max(0, moment - start) / JOURNEY) % 2;
      this.#travel(youngest + (way > 1 ? 2 - way : way) * (oldest - youngest), { smoothly: false, played: true });
      this.#playing = requestAnimationFrame(step);
    };
    this.#playing = requestAnimationFrame(step);
    $('play').textContent = 'Pause';
  }

  #pause() {
    const played = this.#playing;
    cancelAnimationFrame(played);
    this.#playing = 0;
    $('play').textContent = 'Play';
    if (played && this.#entry) this.#travel($('time').valueAsNumber);
  }

  async #animate() {
    const [entry, turn] = [this.#entry, this.#turn];
    const report = (text) => {
      if (turn === this.#turn && $('gif-message').textContent !== text) $('gif-message').textContent = text;
    };
    $('gif').disabled = true;
    try {
      const { animation } = await import('./animation.js');
      const blob = await animation(this.#pictures, (share) => report(`Making the animation: ${Math.round(share * 4) * 25} %`));
      const link = document.createElement('a');
      Object.assign(link, { href: URL.createObjectURL(blob), download: `${entry.id}.gif` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      report(`${link.download}, ${(blob.size / 1e6).toFixed(1)} MB`);
    } catch (error) {
      report(`The animation cannot be made: ${error.message}`);
    } finally {
      $('gif').disabled = false;
    }
  }
}
