// The open portrait: while it has no pictures its progress, then its pictures at any age, beside the original.

import * as api from './api.js';
import { Divider, calm, eased } from './divider.js';
import { Film, cell } from './film.js';
import { open, place } from './menu.js';
import { Saving } from './saving.js';
import { Stage } from './stage.js';
import { Waiting } from './waiting.js';
import { failure, list, sentence, years } from './words.js';

const $ = (id) => document.getElementById(id);
/** The duration of a journey through all ages, in milliseconds. */
const JOURNEY = 6000;
/** The duration of one step in which new pictures are revealed, in milliseconds. */
const BEAT = 800;
/** The number of requests for pictures that are refused, two seconds apart. */
const TRIES = 3;

export class Viewer {
  #portraits;
  #entry = null;
  /** The revision of the pictures that are shown or being fetched. */
  #shown = null;
  /** Counts the portraits shown, so that late answers for an earlier one are recognized. */
  #turn = 0;
  /** Whether the user has waited for the pictures, which are revealed then. */
  #awaited = false;
  /** URLs of the pictures on the stage, in the job's order: `{age, url, name}`. */
  #pictures = [];
  /** The frame of a journey. Zero: nothing plays. */
  #playing = 0;
  #revealing = false;
  /** What to do at its end. */
  #over = null;
  /** Where the divider was before the original was shown alone. */
  #parted = 0.5;
  #stage = new Stage($('picture'));
  #waiting;
  #divider = new Divider($('stage'), () => this.#parting());
  #film = new Film((age) => {
    this.#travel(age);
    // Behind the original nothing of the age would be seen.
    if (this.#divider.share > 0.95) this.#divider.glide(this.#parted);
    this.#parting();
  });
  #saving = new Saving(() => this.#view(), () => this.#pause());

  constructor(portraits, { say, warn, opened, discard }) {
    this.#portraits = portraits;
    this.say = say;
    this.warn = warn;
    this.#waiting = new Waiting(say);
    portraits.addEventListener('change', (event) => event.detail === this.#entry && this.#update());
    $('play').addEventListener('click', () => (this.#playing ? this.#pause() : this.#play()));
    // Any other action than a pause ends the reveal.
    for (const deed of ['pointerdown', 'keydown']) {
      $('viewer').addEventListener(deed, ({ target }) => $('play').contains(target) || !this.#revealing || this.#pause(), true);
    }
    $('original').addEventListener('click', () => {
      this.#pause();
      const alone = this.#divider.share > 0.95;
      if (!alone) this.#parted = this.#divider.share;
      this.#divider.glide(alone ? this.#parted : 1, () => this.#describe());
    });
    $('again').addEventListener('click', async () => {
      if (this.#entry.phase === 'done') this.#show(this.#entry);
      else opened(await this.#portraits.resend(this.#entry));
    });
    $('cancel').addEventListener('click', () => this.#cancel());
    $('viewer-more').addEventListener('click', () => {
      const entry = this.#entry;
      open($('viewer-more'), [{ text: 'Delete', run: () => discard(entry) }]);
    });
    $('sketch-why').addEventListener('toggle', (event) => event.newState === 'open' && place($('sketch-why'), $('sketch')));
  }

  /** Shows a portrait. Null closes the viewer. */
  open(entry) {
    if (entry === this.#entry) return;
    this.#clear();
    this.#waiting.close();
    this.#waiting.photograph(null);
    this.#awaited = false;
    this.#entry = entry;
    $('viewer').hidden = !entry;
    document.body.classList.toggle('open', Boolean(entry));
    if (!entry) return;
    $('viewer-title').textContent = entry.name;
    $('viewer-id').textContent = entry.id;
    $('viewer-id').hidden = entry.name === entry.id;
    $('viewer-more').setAttribute('aria-label', `More for ${entry.name}`);
    this.#update();
  }

  get entry() {
    return this.#entry;
  }

  /** What is shown, for saving. Null if there are no pictures. */
  #view() {
    if (!this.#pictures.length) return null;
    const entry = this.#entry;
    const age = Math.round($('time').valueAsNumber);
    // Near an edge one of the two would hardly be seen.
    const share = this.#divider.share;
    const sketch = entry.job.model === 'preview' ? ' (sketch)' : '';
    const view = {
      share: share > 0.05 && share < 0.95 ? share : 0.5, left: 'Original', right: `${age}${sketch}`,
      name: `${entry.stem}-original-and-${age}.jpg`,
    };
    return { entry, stem: entry.stem, pictures: this.#pictures, stage: this.#stage, view };
  }

  #clear() {
    this.#pause();
    this.#stage.clear();
    this.#divider.stop();
    this.#divider.shown = false;
    for (const { url } of this.#pictures) URL.revokeObjectURL(url);
    this.#pictures = [];
    this.#shown = null;
    this.#parted = 0.5;
    this.#turn++;
    this.#film.set([]);
    this.#saving.report('');
    $('stage').classList.remove('full');
    $('original').firstChild.replaceChildren();
    $('result').hidden = $('sketch').hidden = true;
  }

  async #cancel() {
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
    if (this.#shown) this.#clear();
    this.#waiting.photograph(entry.photo);
    $('viewer-more').hidden = entry.running;
    if (entry.running) {
      this.#awaited = true;
      this.#waiting.progress(entry);
      return;
    }
    const reason = entry.problem ? { title: 'The photograph was refused', why: sentence(entry.problem.message) }
      : phase === 'cancelled' ? { title: 'Cancelled', why: 'No pictures were made.' } : failure(job.error);
    // Sending the same photograph again is offered only where the result may differ.
    const may = phase === 'cancelled' || entry.problem || ['MODEL_ERROR', 'TIMEOUT'].includes(job.error.code);
    this.#waiting.failure(reason, entry.file && may ? 'Send it again' : null);
  }

  /** Fetches the pictures of a finished job and shows them. */
  async #show(entry) {
    const { job } = entry;
    this.#clear();
    const turn = this.#turn;
    this.#shown = job.revision;
    $('viewer-more').hidden = false;
    const waiting = { ...entry, job, phase: 'done', trouble: null };
    this.#waiting.progress(waiting);
    let blobs;
    for (let tries = 1; !blobs; ) {
      try {
        blobs = await Promise.all(job.images.map(({ path }) => api.picture(path)));
      } catch (error) {
        if (turn !== this.#turn) return;
        if (!(error instanceof api.Unreachable) && tries++ === TRIES) {
          this.#waiting.failure({ title: 'The pictures cannot be shown', why: error.message }, 'Try again');
          return;
        }
        this.#waiting.progress({ ...waiting, trouble: `${error.message} Trying again.` });
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
      if (turn !== this.#turn) return;
    }
    this.#pictures = job.images.map(({ age }, n) => {
      const extension = blobs[n].type === 'image/png' ? 'png' : 'jpg';
      const name = `${entry.stem}-${age === null ? 'original' : `at-${age}`}.${extension}`;
      return { age, url: URL.createObjectURL(blobs[n]), name };
    });
    const [original, ...aged] = this.#pictures;
    const once = new Map(aged.map((picture) => [picture.age, picture]));
    const panels = [...once.values()].sort((one, two) => one.age - two.age);
    const arrived = this.#stage.set(original.url, panels);
    this.#film.set(panels);
    $('original').firstChild.replaceChildren(cell(original.url));
    for (const element of [$('film').parentElement, $('play')]) element.hidden = panels.length < 2;
    $('sketch').hidden = job.model !== 'preview';
    $('between').textContent = panels.length < 2 ? '' : 'Between two pictures, ages are blended.';
    this.#travel(panels.at(-1).age, { smoothly: false });
    await arrived;
    if (turn !== this.#turn) return;
    this.#waiting.close();
    this.#waiting.photograph(null);
    $('stage').hidden = $('result').hidden = false;
    $('stage').classList.add('full');
    this.#divider.shown = true;
    this.#divider.set(0.5);
    this.#describe();
    if (this.#awaited && !calm.matches) this.#reveal();
    this.#awaited = false;
    this.say(`Done: ${entry.name} at ${list(panels.map(({ age }) => age))}.`);
  }

  /** Shows an age. */
  #travel(age, { smoothly = true, played = false } = {}) {
    if (!played) this.#pause();
    this.#stage.go(age, { smoothly });
    this.#film.show(age);
    // During a journey nothing is announced.
    if (played) $('age').textContent = Math.round(age);
    else this.#describe();
  }

  /** The user has moved the divider. */
  #parting() {
    this.#pause();
    this.#describe();
  }

  /** Describes the picture, and says which part of it is shown. */
  #describe() {
    if (!this.#pictures.length) return;
    const { name } = this.#entry;
    const age = Math.round($('time').valueAsNumber);
    const { share } = this.#divider;
    $('age').textContent = age;
    $('original').setAttribute('aria-pressed', String(share > 0.95));
    this.#stage.describe(
      share > 0.95 ? `${name}, the original` : share < 0.05 ? `${name}, ${years(age)}`
        : `${name}, the original on the left, ${years(age)} on the right`,
    );
  }

  /** Calls `step` with the milliseconds since now in every frame, until it returns false or the user does something. */
  #animate(step, over) {
    const start = performance.now();
    const next = (now) => {
      if (step(Math.max(0, now - start))) this.#playing = requestAnimationFrame(next);
      else this.#pause();
    };
    this.#over = over;
    this.#playing = requestAnimationFrame(next);
    $('play').lastChild.textContent = 'Pause';
    $('play').querySelector('use').setAttribute('href', '#i-pause');
  }

  /** Ends a journey. */
  #pause() {
    if (!this.#playing) return;
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    $('play').lastChild.textContent = 'Play';
    $('play').querySelector('use').setAttribute('href', '#i-play');
    this.#over?.();
    this.#describe();
  }

  /** Plays from the current age up, then down, and so on. */
  #play() {
    const [youngest, oldest] = [this.#film.ages[0], this.#film.ages.at(-1)];
    const begin = ($('time').valueAsNumber - youngest) / (oldest - youngest);
    if (this.#divider.share > 0.95) this.#divider.glide(this.#parted);
    this.#animate((passed) => {
      const way = (begin + passed / JOURNEY) % 2;
      this.#travel(youngest + (way > 1 ? 2 - way : way) * (oldest - youngest), { smoothly: false, played: true });
      return true;
    }, () => this.#travel($('time').valueAsNumber));
  }

  /**
   * Reveals new pictures once: the youngest is drawn over the original, the others follow one after another, and at last the
   * divider comes to the middle.
   */
  #reveal() {
    const { ages } = this.#film;
    const last = ages.length;
    this.#revealing = true;
    $('stage').classList.add('revealing');
    this.#divider.set(1);
    this.#film.reveal(0);
    this.#travel(ages[0], { smoothly: false, played: true });
    this.#animate((passed) => {
      const beat = passed / BEAT;
      const n = Math.min(last - 1, Math.max(0, Math.floor(beat - 1)));
      const part = eased(Math.min(1, Math.max(0, beat - 1 - n)));
      const age = ages[n] + ((ages[n + 1] ?? ages[n]) - ages[n]) * part;
      this.#divider.set(beat < 1 ? 1 - eased(beat) : beat < last ? 0 : 0.5 * eased(Math.min(1, beat - last)));
      this.#film.reveal(Math.ceil(Math.min(last, beat)));
      this.#travel(age, { smoothly: false, played: true });
      return beat < last + 1;
    }, () => {
      this.#revealing = false;
      $('stage').classList.remove('revealing');
      this.#film.reveal(last);
      this.#divider.set(0.5);
      this.#stage.go($('time').valueAsNumber);
    });
  }
}
