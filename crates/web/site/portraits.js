// Every portrait that the page knows of, and where each stands: what is sent from here is uploaded and waited for, through
// lost connections, restarts of the pipeline and reloads of the page.

import * as api from './api.js';
import { tab } from './memory.js';
import { idOf, prepare } from './photo.js';

/** How long a job may be on its way into the table after its upload, in milliseconds. */
const ARRIVAL = 60_000;
/** How long one request for a running job is held, in seconds .. */
const WAIT = 20;
/** .. and how many at once: browsers open six connections to a host, for all tabs together. */
const HELD = 2;
/** The longest pause before a request is repeated, in seconds. */
const LONGEST = 15;
/** How often the list is looked at, in seconds. */
const LOOK = 10;
const PHASES = { PENDING: 'queued', PROCESSING: 'working', SUCCESS: 'done', FAILED: 'failed', CANCELLED: 'cancelled' };

/** Until some seconds have passed, or the browser says that it is connected, or looked at, again. */
function pause(seconds) {
  return new Promise((resolve) => {
    const over = new AbortController();
    const done = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener('online', done, over);
    document.addEventListener('visibilitychange', () => document.hidden || done(), over);
  });
}

/** The moments at which portraits were sent from this tab, of those that may still be on their way. */
const sent = {
  all: () => Object.entries(tab.get('sent') ?? {}).filter(([, moment]) => Date.now() - moment < ARRIVAL),
  lately: (id) => sent.all().some(([other]) => other === id),
  put: (id) => tab.set('sent', Object.fromEntries([...sent.all(), [id, Date.now()]])),
  forget: (id) => tab.set('sent', Object.fromEntries(sent.all().filter(([other]) => other !== id))),
};

/** One portrait. */
class Entry {
  /** As the HTTP API shows it. */
  job = null;
  /** What was picked, and what is sent of it, while this page needs them. */
  file = null;
  photo = null;
  ages = [];
  /** The share of the photograph that is uploaded; null before and after. */
  uploaded = null;
  /** Breaks the upload off. */
  broken = new AbortController();
  /** Why it was not even taken. */
  problem = null;
  /** What is in the way at the moment. */
  trouble = null;
  watched = false;
  /** How often it was looked for before it was there. */
  looks = 0;

  /** `born`: when it was sent, in milliseconds since 1970, for its place in the list. */
  constructor(id, born = Date.now()) {
    this.id = id;
    this.born = born;
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

/** What to say of an error while it is tried to get over it. */
const trouble = (error) => (error instanceof api.Unreachable ? `${error.message} Trying again.` : error.message);

/** Tells by `change` events of an entry, by `list` events of which there are, and by `gone` events of one that is no more. */
export class Portraits extends EventTarget {
  #entries = new Map();
  /** Not wanted any more, though the list may not know it yet. */
  #deleted = new Set();
  /** Requests that are held. */
  #held = 0;
  /** A look at the list that is under way, for whoever wants one. */
  #listed = null;
  /** Of the next page of the list; null on the last. */
  cursor = null;
  #paged = false;
  /** Why the list may be out of date. */
  trouble = null;

  get(id) {
    return this.#entries.get(id);
  }

  /** Newest first. */
  get all() {
    return [...this.#entries.values()].sort((one, two) => two.born - one.born);
  }

  get uploading() {
    return this.all.some((entry) => entry.phase === 'uploading');
  }

  #tell(entry) {
    if (this.#entries.get(entry.id) === entry) this.dispatchEvent(new CustomEvent('change', { detail: entry }));
  }

  #tellAll() {
    this.dispatchEvent(new Event('list'));
  }

  /** `why` is said to whoever looks at it. */
  #drop(entry, why) {
    this.#entries.delete(entry.id);
    sent.forget(entry.id);
    this.dispatchEvent(new CustomEvent('gone', { detail: { entry, why } }));
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
    const told = (share) => {
      Object.assign(entry, { uploaded: share, trouble: null });
      this.#tell(entry);
    };
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      this.#tell(entry);
      try {
        await api.upload(entry.id, entry.ages, entry.photo, told, entry.broken.signal);
        break;
      } catch (error) {
        if (entry.broken.signal.aborted) return;
        if (!(error instanceof api.Unreachable)) {
          Object.assign(entry, { uploaded: null, problem: error });
          return this.#tell(entry);
        }
        entry.trouble = trouble(error);
        this.#tell(entry);
        await pause(seconds);
        if (entry.broken.signal.aborted) return;
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
    while (this.#entries.get(entry.id) === entry && entry.running) {
      try {
        const job = await this.#look(entry);
        seconds = 1;
        entry.trouble = null;
        if (job) this.#learn(entry, job);
        else if (!sent.lately(entry.id)) {
          this.#drop(entry, entry.job ? `${entry.id} was deleted elsewhere.` : `${entry.id} never arrived. Send it again.`);
        }
      } catch (error) {
        entry.trouble = trouble(error);
        this.#tell(entry);
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
        continue;
      }
      this.#tell(entry);
    }
    entry.watched = false;
    // Only what may have to be sent again is kept.
    if (entry.phase === 'done') entry.file = entry.photo = null;
    this.#tellAll();
  }

  /** Takes in what is newer than what is known. What is final stays so, but for another photograph or a new beginning. */
  #learn(entry, job) {
    const known = entry.job;
    const newer = !known || job.updatedAt >= known.updatedAt;
    const over = known && entry.running && !['PENDING', 'PROCESSING'].includes(job.status);
    if (newer || over) entry.job = job;
  }

  /** Where a job stands; null if there is none yet, or no more. */
  async #look(entry) {
    const { id, job } = entry;
    if (!job) {
      // A list without it is no error, as a request for it would be; but others may have pushed it off the page.
      if (++entry.looks % 20 === 0) return api.job(id, 0);
      const found = (await this.#newest()).jobs.find((other) => other.id === id);
      if (!found) await pause(0.3);
      return found ?? null;
    }
    if (this.#held >= HELD) {
      await pause(1);
      return api.job(id, 0);
    }
    this.#held++;
    try {
      // Held until it is final, so whoever wants to see it begin must not ask for long.
      return await api.job(id, job.status === 'PROCESSING' ? WAIT : 1);
    } finally {
      this.#held--;
    }
  }

  /** The newest page of the list, by one request for all who ask at the same time. */
  #newest() {
    this.#listed ??= api.jobs().finally(() => (this.#listed = null));
    return this.#listed;
  }

  /** The entry of an id that came from outside, such as the page's address; null if there is no such portrait. */
  async open(id) {
    const known = this.get(id);
    if (known) return known;
    if (this.#deleted.has(id)) return null;
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      try {
        const job = sent.lately(id) ? null : await api.job(id, 0);
        if (!job && !sent.lately(id)) return null;
        return this.get(id) ?? this.#add(id, job);
      } catch (error) {
        if (!(error instanceof api.Unreachable)) throw error;
        this.trouble = trouble(error);
        this.#tellAll();
        await pause(seconds);
      }
    }
  }

  #add(id, job) {
    const entry = new Entry(id, job ? Date.parse(job.createdAt) : Date.now());
    entry.job = job;
    this.#entries.set(id, entry);
    if (entry.running) this.#watch(entry);
    this.#tellAll();
    return entry;
  }

  /** Cancels what runs, deletes what is finished. */
  async remove(entry) {
    const { id, phase } = entry;
    if (phase === 'uploading' || (entry.problem && !entry.job)) {
      entry.broken.abort();
      this.#deleted.add(id);
      return this.#drop(entry);
    }
    const job = await api.remove(id);
    if (job) {
      entry.job = job;
      this.#tell(entry);
      this.#tellAll();
    } else {
      this.#deleted.add(id);
      this.#drop(entry);
    }
  }

  #take(jobs) {
    for (const job of jobs) {
      const entry = this.get(job.id);
      if (this.#deleted.has(job.id)) {
        // It was on its way when it was cancelled.
        if (['PENDING', 'PROCESSING'].includes(job.status)) api.remove(job.id).catch(() => {});
      } else if (!entry) {
        this.#add(job.id, job);
      } else if (!entry.watched && entry.job) {
        this.#learn(entry, job);
        if (entry.running) this.#watch(entry);
        this.#tell(entry);
      }
    }
  }

  /** Looks at the newest page of the list. */
  async #refresh() {
    const page = await this.#newest();
    const listed = new Set(page.jobs.map((job) => job.id));
    // What the page reaches back to and does not have was deleted elsewhere; what was just made, the list may not know yet.
    const back = page.cursor ? page.jobs.at(-1).createdAt : '';
    for (const entry of this.all) {
      const { job } = entry;
      const old = job && !entry.watched && Date.now() - Date.parse(job.updatedAt) > ARRIVAL;
      if (old && job.createdAt > back && !listed.has(entry.id)) this.#drop(entry, `${entry.id} was deleted elsewhere.`);
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
        await pause(LOOK);
      } catch (error) {
        this.trouble = trouble(error);
        if ([401, 403].includes(error.status) || (await api.stranger())) this.dispatchEvent(new Event('stranger'));
        this.#tellAll();
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
      }
      while (document.hidden) await pause(LOOK);
    }
  }
}
