// The open portrait while it has no pictures: its photograph, the progress of its job, or why it failed and where a face was
// looked for.

import { list } from './words.js';

const $ = (id) => document.getElementById(id);

export class Waiting {
  #photo = null;
  #say;

  constructor(say) {
    this.#say = say;
    // A photograph that the browser cannot show is not shown.
    $('sent').addEventListener('error', () => {
      $('photo').hidden = true;
      $('stage').hidden ||= !$('failed').hidden;
    });
    $('sent').addEventListener('load', () => {
      const { naturalWidth: width, naturalHeight: height } = $('sent');
      Object.assign($('photo').style, { aspectRatio: `${width} / ${height}`, width: `${Math.min(1, width / height) * 100}%` });
    });
  }

  /** Shows the photograph that was sent, if this page has it. */
  photograph(photo) {
    if (photo === this.#photo) return;
    if (this.#photo) URL.revokeObjectURL($('sent').src);
    this.#photo = photo;
    $('photo').hidden = !photo;
    if (photo) $('sent').src = URL.createObjectURL(photo);
    else $('sent').removeAttribute('src');
    this.#mark(null);
  }

  /** Draws where a face was looked for: the face that is too small, or the size of the smallest one that would have done. */
  #mark(search) {
    const { width, height, least, face } = search ?? {};
    const [found, smallest] = [document.querySelector('.found'), document.querySelector('.least')];
    const put = (box, left, top, side) => {
      const shares = { left: left / width, top: top / height, width: side / width, height: side / height };
      for (const [name, share] of Object.entries(shares)) box.style[name] = `${share * 100}%`;
    };
    found.hidden = !face;
    if (face) put(found, face.left, face.top, face.width);
    smallest.hidden = !least || Boolean(face);
    if (least) put(smallest, (width - least) / 2, (height - least) / 2, least);
    $('photo').classList.toggle('searched', Boolean(search));
  }

  progress({ phase, uploaded, trouble, ages, job }) {
    $('failed').hidden = true;
    $('underway').hidden = $('stage').hidden = false;
    $('stage').classList.toggle('busy', !trouble);
    this.#mark(null);
    const steps = [...document.querySelectorAll('.steps li')];
    const at = steps.findIndex((step) => step.dataset.step === phase);
    steps.forEach((step, n) => {
      step.classList.toggle('over', n < at);
      if (n === at) step.setAttribute('aria-current', 'step');
      else step.removeAttribute('aria-current');
    });
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
    this.#say(text);
  }

  /** Shows why there are no pictures, and what to do. `button` is the text of the button for it, or null. */
  failure({ title, why, where = null, search = null }, button) {
    $('underway').hidden = true;
    $('failed').hidden = false;
    $('stage').classList.remove('busy');
    $('stage').hidden = $('photo').hidden;
    this.#mark(search);
    $('failed-title').textContent = title;
    $('failed-why').textContent = why;
    $('failed-search').hidden = !where;
    $('failed-search').textContent = where;
    $('again').hidden = !button;
    $('again').textContent = button;
    $('instead').classList.toggle('main', !button);
    this.#say([title, why, where].filter(Boolean).join(' '));
  }

  close() {
    $('underway').hidden = $('failed').hidden = true;
    $('stage').classList.remove('busy');
    $('message').textContent = '';
  }
}
