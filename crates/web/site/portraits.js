// Every portrait that the page knows of, and where each stands: what is sent from here is uploaded and waited for, through
// lost connections, restarts of the pipeline and reloads of the page.

import * as api from './api.js';
import { idOf, prepare } from './photo.js';

/** How long a job may be on its way into the table after its upload, in milliseconds. */
const ARRIVAL = 60_000;
/** How long one request for a running job is held, in seconds. */
const WAIT = 20;
/** The longest pause before a request is repeated, in seconds. */
const LONGEST = 15;
/** How often the list is looked at, in milliseconds. */
const LOOK = 10_000;
const PHASES = { PENDING: 'queued', PROCESSING: 'working', SUCCESS: 'done', FAILED: 'failed', CANCELLED: 'cancelled' };

/** Until some seconds have passed, or the browser says that it is connected again. */
function pause(seconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener('online', done);
  });
}

/** When portraits were sent from this tab, which outlives a reload. */
const sent = {
  all: () => JSON.parse(sessionStorage.getItem('sent') ?? '{}'),
  at: (id) => sent.all()[id] ?? 0,
  put: (id) => sessionStorage.setItem('sent', JSON.stringify({ ...sent.all(), [id]: Date.now() })),
};

/** One portrait. */
class Entry {
  /** As the HTTP API shows it. */
  job = null;
  /** What was picked, and what is sent of it, while this page has them. */
  file = null;
  photo = null;
  ages = [];
  /** The share of the photograph that is uploaded; null before and after. */
  uploaded = null;
  /** Why it was not even taken. */
  problem = null;
  /** What is in the way at the moment. */
  trouble = null;
  watched = false;
  /** How often it was looked for before it was there. */
  looks = 0;

  constructor(id) {
    this.id = id;
  }

  /** `uploading`, `queued`, `working`, `done`, `failed` or `cancelled`. */
  get phase() {
    if (this.problem) return 'failed';
    if (this.uploaded !== null) return 'uploading';
    return this.job ? PHASES[this.job.status] : 'queued';
  }

  get running() {
    return ['uploading', 'queued', 'working'].includes(this.phase);
  }
}

/** Tells by `change` events of an entry, and by `list` events of which there are. */
export class Portraits extends EventTarget {
  #entries = new Map();
  /** Deleted here, though the list may not know it yet. */
  #deleted = new Set();
  /** Of the next page of the list; null on the last. */
  cursor = null;
  #paged = false;
  /** Why the list may be out of date. */
  trouble = null;

  get(id) {
    return this.#entries.get(id);
  }

  /** Newest first; what is not taken yet is the newest of all. */
  get all() {
    const born = (entry) => entry.job?.createdAt ?? '9';
    return [...this.#entries.values()].sort((one, two) => (born(one) < born(two) ? 1 : born(one) > born(two) ? -1 : 0));
  }

  get uploading() {
    return this.all.some((entry) => entry.phase === 'uploading');
  }

  #tell(entry) {
    this.dispatchEvent(new CustomEvent('change', { detail: entry }));
  }

  #tellAll() {
    this.dispatchEvent(new Event('list'));
  }

  #drop(entry) {
    this.#entries.delete(entry.id);
    this.#tell(entry);
    this.#tellAll();
  }

  /**
   * Takes a photograph in, and returns its entry as soon as it is known to be one; the rest goes on by itself.
   */
  async send(file, ages) {
    const photo = await prepare(file);
    const entry = new Entry(idOf(file));
    Object.assign(entry, { file, photo, ages });
    this.#entries.set(entry.id, entry);
    this.#upload(entry);
    this.#tellAll();
    return entry;
  }

  /** Sends the photograph of a failed portrait once more, as another one. */
  async resend(entry) {
    const fresh = await this.send(entry.file, entry.ages);
    this.remove(entry).catch(() => {});
    return fresh;
  }

  async #upload(entry) {
    entry.uploaded = 0;
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      this.#tell(entry);
      try {
        await api.upload(entry.id, entry.ages, entry.photo, (share) => {
          entry.uploaded = share;
          entry.trouble = null;
          this.#tell(entry);
        });
        break;
      } catch (error) {
        if (!(error instanceof api.Unreachable)) {
          Object.assign(entry, { uploaded: null, problem: error });
          return this.#tell(entry);
        }
        entry.trouble = `${error.message} Trying again.`;
        this.#tell(entry);
        await pause(seconds);
        if (!this.#entries.has(entry.id)) return;
      }
    }
    sent.put(entry.id);
    Object.assign(entry, { uploaded: null, trouble: null });
    this.#tell(entry);
    this.#watch(entry);
  }

  /** Follows a job until it is final. */
  async #watch(entry) {
    if (entry.watched) return;
    entry.watched = true;
    let seconds = 1;
    while (this.#entries.get(entry.id) === entry) {
      try {
        const job = await this.#look(entry);
        seconds = 1;
        entry.trouble = null;
        // A cancellation, or a newer answer, may have come in meanwhile.
        if (job && !(entry.job && job.updatedAt < entry.job.updatedAt)) entry.job = job;
        if (!job && Date.now() - sent.at(entry.id) > ARRIVAL) {
          this.#drop(entry);
          break;
        }
      } catch (error) {
        entry.trouble = error instanceof api.Unreachable ? `${error.message} Trying again.` : error.message;
        this.#tell(entry);
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
        continue;
      }
      this.#tell(entry);
      if (!entry.running) break;
    }
    entry.watched = false;
    this.#tellAll();
  }

  /** Where a job stands; null if there is none yet, or no more. */
  async #look(entry) {
    const { id, job } = entry;
    // Held until it is final, so whoever wants to see it begin must not ask for long.
    if (job) return api.job(id, job.status === 'PROCESSING' ? WAIT : 1);
    // A list without it is no error, as a request for it would be; but others may have pushed it off the page.
    if (++entry.looks % 20 === 0) return api.job(id, 1);
    const found = (await api.jobs()).jobs.find((other) => other.id === id);
    if (!found) await pause(0.3);
    return found ?? null;
  }

  /** The entry of an id that came from outside, such as the page's address; null if there is no such portrait. */
  async open(id) {
    const known = this.get(id);
    if (known) return known;
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      try {
        const fresh = Date.now() - sent.at(id) < ARRIVAL;
        const job = fresh ? null : await api.job(id, 0);
        if (!job && !fresh) return null;
        return this.get(id) ?? this.#add(id, job);
      } catch (error) {
        if (!(error instanceof api.Unreachable)) throw error;
        this.trouble = `${error.message} Trying again.`;
        this.#tellAll();
        await pause(seconds);
      }
    }
  }

  #add(id, job) {
    const entry = new Entry(id);
    entry.job = job;
    this.#entries.set(id, entry);
    if (entry.running) this.#watch(entry);
    this.#tellAll();
    return entry;
  }

  /** Cancels what runs, deletes what is finished. */
  async remove(entry) {
    if (entry.phase === 'uploading' || (entry.problem && !entry.job)) return this.#drop(entry);
    const job = await api.remove(entry.id);
    if (job) {
      entry.job = job;
      this.#tell(entry);
    } else {
      this.#deleted.add(entry.id);
      this.#drop(entry);
    }
  }

  #take(jobs) {
    for (const job of jobs) {
      const entry = this.get(job.id);
      if (this.#deleted.has(job.id)) continue;
      if (!entry) this.#add(job.id, job);
      else if (!entry.watched && entry.uploaded === null && entry.job && job.updatedAt > entry.job.updatedAt) {
        entry.job = job;
        if (entry.running) this.#watch(entry);
        this.#tell(entry);
      }
    }
  }

  /** Looks at the newest page of the list. */
  async #refresh() {
    const page = await api.jobs();
    const listed = new Set(page.jobs.map((job) => job.id));
    // What the page reaches back to and does not have was deleted elsewhere; what was just made, the list may not know yet.
    const back = page.cursor ? page.jobs.at(-1).createdAt : '';
    for (const entry of this.all) {
      const { job } = entry;
      const old = job && !entry.watched && Date.now() - Date.parse(job.updatedAt) > ARRIVAL;
      if (old && job.createdAt > back && !listed.has(entry.id)) this.#drop(entry);
    }
    if (!this.#paged) this.cursor = page.cursor;
    this.trouble = null;
    this.#take(page.jobs);
    this.#tellAll();
  }

  /** Takes in the next page of the list. */
  async more() {
    const page = await api.jobs(this.cursor);
    this.cursor = page.cursor;
    this.#paged = true;
    this.#take(page.jobs);
    this.#tellAll();
  }

  /** Keeps the list true while the page is looked at. */
  async follow() {
    for (let seconds = 1; ; ) {
      try {
        await this.#refresh();
        seconds = 1;
      } catch (error) {
        this.trouble = error instanceof api.Unreachable ? `${error.message} Trying again.` : error.message;
        if ([401, 403].includes(error.status) || (await api.stranger())) this.dispatchEvent(new Event('stranger'));
        this.#tellAll();
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
        continue;
      }
      await Promise.race([
        pause(LOOK / 1000),
        new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true })),
      ]);
      while (document.hidden) await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
    }
  }
}
