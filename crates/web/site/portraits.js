// All portraits of the page and their states. Uploads and jobs are followed through lost connections, restarts of the pipeline
// and reloads of the page.

import * as api from './api.js';
import { tab } from './memory.js';
import { forget, nameOf, remember } from './names.js';
import { idOf, prepare } from './photo.js';

/** How long a job may take to appear in the table after its upload, in milliseconds. */
const ARRIVAL = 60_000;
/** How long one long poll for a running job may wait, in seconds. */
const WAIT = 20;
/** The most long polls at once. Browsers open six connections to a host, for all tabs together. */
const HELD = 2;
/** The longest pause before a request is repeated, in seconds. */
const LONGEST = 15;
/** The pause between two requests for the list, in seconds. */
const LOOK = 10;
const PHASES = { PENDING: 'queued', PROCESSING: 'working', SUCCESS: 'done', FAILED: 'failed', CANCELLED: 'cancelled' };

/** Waits some seconds, or until the browser is online again or the page visible again. */
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

/** The portraits of this tab whose jobs may not have appeared yet, with the times, ETags and ages of their uploads. */
const sent = {
  all: () => Object.entries(tab.get('sent') ?? {}).filter(([, { moment }]) => Date.now() - moment < ARRIVAL),
  lately: (id) => sent.all().find(([other]) => other === id)?.[1],
  put: ({ id, etag, ages }) => tab.set('sent', Object.fromEntries([...sent.all(), [id, { moment: Date.now(), etag, ages }]])),
  forget: (id) => tab.set('sent', Object.fromEntries(sent.all().filter(([other]) => other !== id))),
};

/** One portrait. */
class Entry {
  /** The job, as the HTTP API returns it. */
  job = null;
  /** The user's file, and the photograph that is sent, while this page needs them. */
  file = null;
  photo = null;
  ages = [];
  /** The ETag of the photograph that this tab sent. Null before the upload, and for portraits from elsewhere. */
  etag = null;
  /** The uploaded share of the photograph. Null before and after the upload. */
  uploaded = null;
  /** Aborts the upload. */
  broken = new AbortController();
  /** The error with which the upload was refused. */
  problem = null;
  /** The message of a temporary error. */
  trouble = null;
  watched = false;
  /** Whether it was taken away, and may still come back. */
  discarded = false;
  /** The number of requests before the job appeared. */
  looks = 0;

  /** `born`: the time of the upload, in milliseconds since 1970. The list is sorted by it. */
  constructor(id, born = Date.now()) {
    this.id = id;
    this.born = born;
  }

  /** Its name for people: that of the file, if this browser sent it. */
  get name() {
    return nameOf(this.id);
  }

  /** The name without the file's extension. */
  get stem() {
    return this.name.replace(/\.[A-Za-z0-9]{2,5}$/, '') || this.id;
  }

  /** `uploading`, `queued`, `working`, `done`, `failed` or `cancelled`. */
  get phase() {
    if (this.problem) return 'failed';
    if (this.uploaded !== null) return 'uploading';
    return this.job ? PHASES[this.job.status] : 'queued';
  }

  /**
   * Whether a job is that of the upload, and not of an earlier one under the same id. Pipelines of earlier versions name no ETag,
   * so the ages have to do.
   */
  owns(job) {
    const samePhoto = !this.etag || !job.etag || job.etag === this.etag;
    return samePhoto && (!this.ages.length || String(job.ages) === String(this.ages));
  }

  get running() {
    return ['uploading', 'queued', 'working'].includes(this.phase);
  }
}

/** The message of an error while the request is repeated. */
const trouble = (error) => (error instanceof api.Unreachable ? `${error.message} Trying again.` : error.message);

/**
 * The portraits of the page. Events: `change` when an entry changes, `list` when the list changes, `gone` when an entry is
 * removed, `unauthorized` when a token is needed.
 */
export class Portraits extends EventTarget {
  #entries = new Map();
  /** Ids that were deleted, though the server's list may still have them. */
  #deleted = new Set();
  /** The number of long polls that wait. */
  #held = 0;
  /** The running request for the list, which all callers share. */
  #listed = null;
  /** The cursor of the list's next page. Null on the last page. */
  cursor = null;
  #paged = false;
  /** Why the list may be out of date. */
  trouble = null;

  get(id) {
    return this.#entries.get(id);
  }

  /** Newest first. */
  get all() {
    return [...this.#entries.values()].filter(({ discarded }) => !discarded).sort((one, two) => two.born - one.born);
  }

  get uploading() {
    return this.all.some((entry) => entry.phase === 'uploading');
  }

  #changed(entry) {
    if (this.#entries.get(entry.id) === entry) this.dispatchEvent(new CustomEvent('change', { detail: entry }));
  }

  #listChanged() {
    this.dispatchEvent(new Event('list'));
  }

  /** Removes an entry. The page shows `why` if the portrait is open. */
  #drop(entry, why) {
    this.#entries.delete(entry.id);
    sent.forget(entry.id);
    this.dispatchEvent(new CustomEvent('gone', { detail: { entry, why } }));
    forget(entry.id);
    this.#listChanged();
  }

  /**
   * Sends a photograph. Returns its entry once the file is known to be a photograph; the upload continues in the background.
   */
  async send(file, ages) {
    const photo = await prepare(file);
    const entry = new Entry(idOf(file));
    remember(entry.id, file.name || entry.id);
    Object.assign(entry, { file, photo, ages });
    this.#entries.set(entry.id, entry);
    this.#upload(entry);
    this.#listChanged();
    return entry;
  }

  /** Sends the photograph of a failed portrait again, as a new portrait. */
  async resend(entry) {
    const fresh = await this.send(entry.file, entry.ages);
    this.remove(entry).catch(() => {});
    return fresh;
  }

  async #upload(entry) {
    entry.uploaded = 0;
    const onProgress = (share) => {
      Object.assign(entry, { uploaded: share, trouble: null });
      this.#changed(entry);
    };
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      this.#changed(entry);
      try {
        entry.etag = await api.upload(entry.id, entry.ages, entry.photo, onProgress, entry.broken.signal);
        break;
      } catch (error) {
        if (entry.broken.signal.aborted) return;
        if (!(error instanceof api.Unreachable)) {
          Object.assign(entry, { uploaded: null, problem: error });
          return this.#changed(entry);
        }
        entry.trouble = trouble(error);
        this.#changed(entry);
        await pause(seconds);
        if (entry.broken.signal.aborted) return;
      }
    }
    sent.put(entry);
    Object.assign(entry, { uploaded: null, trouble: null });
    this.#changed(entry);
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
          this.#drop(entry, entry.job ? `${entry.name} was deleted elsewhere.` : `${entry.name} never arrived. Send it again.`);
        }
      } catch (error) {
        entry.trouble = trouble(error);
        this.#changed(entry);
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
        continue;
      }
      this.#changed(entry);
    }
    entry.watched = false;
    // From now on its job is looked up like any other.
    if (!entry.running) sent.forget(entry.id);
    // The file is kept only if it may have to be sent again.
    if (entry.phase === 'done') entry.file = entry.photo = null;
    this.#listChanged();
  }

  /** Stores a job unless it is older than the known one. A running job is always replaced by a final one. */
  #learn(entry, job) {
    const known = entry.job;
    const newer = !known || job.updatedAt >= known.updatedAt;
    const over = known && entry.running && !['PENDING', 'PROCESSING'].includes(job.status);
    if (newer || over) entry.job = job;
  }

  /** Requests the job of an entry. Null if it has not appeared yet, or was deleted. */
  async #look(entry) {
    const { id, job } = entry;
    if (!job) {
      // The list is requested, since a request for a missing job is an error in the browser's log. Newer jobs may have pushed
      // it off the list's first page, so now and then the job itself is requested.
      const direct = ++entry.looks % 20 === 0;
      const found = direct ? await api.job(id, 0) : (await this.#newest()).jobs.find((other) => other.id === id);
      // The job of an earlier upload is there until the event of this one has arrived.
      if (found && entry.owns(found)) return found;
      await pause(0.3);
      return null;
    }
    if (this.#held >= HELD) {
      await pause(1);
      return api.job(id, 0);
    }
    this.#held++;
    try {
      // A long poll ends only when the job is final. A short one shows in time when a queued job starts.
      return await api.job(id, job.status === 'PROCESSING' ? WAIT : 1);
    } finally {
      this.#held--;
    }
  }

  /** The newest page of the list. Callers at the same time share one request. */
  #newest() {
    this.#listed ??= api.jobs().finally(() => (this.#listed = null));
    return this.#listed;
  }

  /** The entry of an id from outside, such as the page's address. Null if there is no such portrait. */
  async open(id) {
    const known = this.get(id);
    if (known?.discarded || this.#deleted.has(id)) return null;
    if (known) return known;
    for (let seconds = 1; ; seconds = Math.min(2 * seconds, LONGEST)) {
      try {
        const job = sent.lately(id) ? null : await api.job(id, 0);
        if (!job && !sent.lately(id)) return null;
        return this.get(id) ?? this.#add(id, job);
      } catch (error) {
        if (!(error instanceof api.Unreachable)) throw error;
        this.trouble = trouble(error);
        this.#listChanged();
        await pause(seconds);
      }
    }
  }

  #add(id, job) {
    const entry = new Entry(id, job ? Date.parse(job.createdAt) : Date.now());
    const { etag = null, ages = [] } = sent.lately(id) ?? {};
    Object.assign(entry, { etag, ages });
    entry.job = job && entry.owns(job) ? job : null;
    this.#entries.set(id, entry);
    if (entry.running) this.#watch(entry);
    this.#listChanged();
    return entry;
  }

  /** Takes a finished portrait away, until it is restored, or removed for good. */
  discard(entry) {
    entry.discarded = true;
    this.dispatchEvent(new CustomEvent('gone', { detail: { entry, discarded: true } }));
    this.#listChanged();
  }

  restore(entry) {
    entry.discarded = false;
    this.#listChanged();
  }

  /** Cancels a running portrait, or deletes a finished one. */
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
      this.#changed(entry);
      this.#listChanged();
    } else {
      this.#deleted.add(id);
      this.#drop(entry);
    }
  }

  #take(jobs) {
    for (const job of jobs) {
      const entry = this.get(job.id);
      if (this.#deleted.has(job.id)) {
        // The upload was cancelled too late to be aborted, so its job is removed.
        if (['PENDING', 'PROCESSING'].includes(job.status)) api.remove(job.id).catch(() => {});
      } else if (!entry) {
        this.#add(job.id, job);
      } else if (!entry.watched && entry.job) {
        this.#learn(entry, job);
        if (entry.running) this.#watch(entry);
        this.#changed(entry);
      }
    }
  }

  /** Requests the newest page of the list. */
  async #refresh() {
    const page = await this.#newest();
    const listed = new Set(page.jobs.map((job) => job.id));
    // An entry that is missing in the range of this page was deleted elsewhere. New jobs may not be in the list yet.
    const back = page.cursor ? page.jobs.at(-1).createdAt : '';
    for (const entry of this.all) {
      const { job } = entry;
      const old = job && !entry.watched && Date.now() - Date.parse(job.updatedAt) > ARRIVAL;
      if (old && job.createdAt > back && !listed.has(entry.id)) this.#drop(entry, `${entry.name} was deleted elsewhere.`);
    }
    if (!this.#paged) this.cursor = page.cursor;
    this.trouble = null;
    this.#take(page.jobs);
    this.#listChanged();
  }

  /** Requests the next page of the list. */
  async more() {
    const page = await api.jobs(this.cursor);
    this.cursor = page.cursor;
    this.#paged = true;
    this.#take(page.jobs);
    this.#listChanged();
  }

  /** Keeps the list up to date while the page is visible. */
  async follow() {
    for (let seconds = 1; ; ) {
      try {
        await this.#refresh();
        seconds = 1;
        await pause(LOOK);
      } catch (error) {
        this.trouble = trouble(error);
        if ([401, 403].includes(error.status) || (await api.unauthorized())) this.dispatchEvent(new Event('unauthorized'));
        this.#listChanged();
        await pause(seconds);
        seconds = Math.min(2 * seconds, LONGEST);
      }
      while (document.hidden) await pause(LOOK);
    }
  }
}
