// Requests to both APIs. What goes wrong comes out as one of two errors, in words.

import { tab } from './memory.js';
import { sentence } from './words.js';

/** Nobody answered, or who answered was busy: asking again may help. */
export class Unreachable extends Error {}

/** The answer was no; `message` says why. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** How long beyond what was asked for an answer may take, in seconds. */
const PATIENCE = 30;
const BUSY = new Set([408, 429, 500, 502, 503, 504]);

let restApi;
let httpApi;

/** Reads the addresses of the APIs. An empty one is the page's own. */
export async function configure() {
  const answer = await fetch('config.json', { cache: 'no-cache' });
  if (!answer.ok) throw new Refused(answer.status, 'config.json is not there: it names the addresses of both APIs.');
  const config = await answer.json();
  const address = (url) => (url ? String(url).replace(/\/+$/, '') : location.origin);
  [restApi, httpApi] = [address(config.restApi), address(config.httpApi)];
}

/** The machine that photographs are sent to. */
export const host = () => new URL(restApi).hostname;

/** Set once the APIs ask for one; forgotten with the tab. */
export const token = {
  get: () => tab.get('token'),
  set: (text) => tab.set('token', text),
};

function authorization() {
  const text = token.get();
  return text ? { authorization: `Bearer ${text}` } : {};
}

/** The answer's own words, or some for its status. */
function refusal(status, text) {
  let said;
  try {
    said = JSON.parse(text).message;
  } catch {
    // No JSON: a proxy's page, say.
  }
  if ([401, 403].includes(status)) return new Refused(status, 'This pipeline does not know who is asking.');
  const words = status === 413 ? 'The picture is larger than the pipeline takes.' : `The pipeline answered with ${status}.`;
  const message = sentence(said ?? words);
  return BUSY.has(status) ? new Unreachable(`The pipeline is busy, or ill. ${message}`) : new Refused(status, message);
}

async function ask(url, { method = 'GET', seconds = 0, as = 'json' } = {}) {
  let answer;
  try {
    const signal = AbortSignal.timeout((seconds + PATIENCE) * 1000);
    answer = await fetch(url, { method, signal, headers: authorization() });
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return answer.status === 204 ? null : await answer[as]();
  } catch (error) {
    if (error instanceof Refused || error instanceof Unreachable) throw error;
    throw new Unreachable('The pipeline cannot be reached.', { cause: error });
  }
}

/** The job of a portrait, held back until it is final or the seconds have passed; null if there is none. */
export async function job(id, seconds) {
  try {
    return await ask(`${httpApi}/jobs/${id}?wait=${seconds}`, { seconds });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** A page of jobs, newest first: `{jobs, cursor}`. */
export function jobs(cursor) {
  return ask(`${httpApi}/jobs?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
}

/**
 * Whether the pipeline answers strangers with no. Its HTTP API may say so in an answer that a page of another origin cannot
 * read, the REST API says it aloud.
 */
export async function stranger() {
  if (restApi === httpApi) return false;
  try {
    const answer = await fetch(`${restApi}/images/nobody/000000000000/0.jpg`, { headers: authorization() });
    return [401, 403].includes(answer.status);
  } catch {
    return false;
  }
}

/** Cancels a running job, which is then answered; deletes a finished one, which is then null. */
export async function remove(id) {
  try {
    return await ask(`${httpApi}/jobs/${id}`, { method: 'DELETE' });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** A picture of a job, as a blob. */
export function picture(path) {
  return ask(restApi + path, { as: 'blob' });
}

/** Where an image element finds a picture by itself: it cannot show a token. */
export const address = (path) => (token.get() ? null : restApi + path);

/** Uploads a photograph. `told` hears the share that is there, 0 to 1: `fetch` would not say. `signal` breaks it off. */
export function upload(id, ages, photo, told, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    signal.addEventListener('abort', () => request.abort());
    request.open('PUT', `${restApi}/images/${id}?ages=${ages.join('%2C')}`);
    request.setRequestHeader('content-type', photo.type);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    // The whole may take long; nothing at all is a connection that was lost without a word.
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), PATIENCE * 1000);
    };
    heard();
    request.upload.onprogress = (event) => {
      heard();
      told(event.loaded / event.total);
    };
    request.onloadend = () => clearTimeout(silence);
    request.onload = () => (request.status === 200 ? resolve() : reject(refusal(request.status, request.responseText)));
    request.onerror = request.onabort = () => reject(new Unreachable('The connection was lost.'));
    request.send(photo);
  });
}
