// Requests to both APIs. Every failure becomes one of two errors, with a message for the user.

import { tab } from './memory.js';
import { sentence } from './words.js';

/** There was no answer, or the server was busy. Repeating the request may help. */
export class Unreachable extends Error {}

/** The request was refused. `message` gives the reason. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** How long an answer may take beyond the wait that was requested, in seconds. */
const PATIENCE = 30;
const BUSY = new Set([408, 429, 500, 502, 503, 504]);

let restApi;
let httpApi;

/** Reads the addresses of the APIs. An empty address is the page's origin. */
export async function configure() {
  const answer = await fetch('config.json', { cache: 'no-cache' });
  if (!answer.ok) throw new Refused(answer.status, 'config.json, which holds the addresses of both APIs, cannot be read.');
  const config = await answer.json();
  const address = (url) => (url ? String(url).replace(/\/+$/, '') : location.origin);
  [restApi, httpApi] = [address(config.restApi), address(config.httpApi)];
}

/** The name of the machine to which photographs are sent. */
export const host = () => new URL(restApi).hostname;

/** The token, set once the APIs require one, and forgotten when the tab is closed. */
export const token = {
  get: () => tab.get('token'),
  set: (text) => tab.set('token', text),
};

function authorization() {
  const text = token.get();
  return text ? { authorization: `Bearer ${text}` } : {};
}

/** The error for a status, with the answer's message or a general one. */
function refusal(status, text) {
  let said;
  try {
    said = JSON.parse(text).message;
  } catch {
    // The answer is not JSON. It may be a proxy's page.
  }
  if ([401, 403].includes(status)) return new Refused(status, 'This pipeline needs a valid token.');
  const words = status === 413 ? 'The picture is larger than the pipeline accepts.' : `The pipeline answered with ${status}.`;
  const message = sentence(said ?? words);
  return BUSY.has(status) ? new Unreachable(`The pipeline is busy or has failed. ${message}`) : new Refused(status, message);
}

async function ask(url, { method = 'GET', seconds = 0, as = 'json', keepalive = false } = {}) {
  let answer;
  try {
    const signal = AbortSignal.timeout((seconds + PATIENCE) * 1000);
    answer = await fetch(url, { method, signal, keepalive, headers: authorization() });
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return answer.status === 204 ? null : await answer[as]();
  } catch (error) {
    if (error instanceof Refused || error instanceof Unreachable) throw error;
    throw new Unreachable('The pipeline cannot be reached.', { cause: error });
  }
}

/** The job of a portrait, once it is final or `seconds` have passed. Null if there is no job. */
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
 * Whether the pipeline refuses requests without a valid token. A page of another origin may be unable to read such an answer
 * of the HTTP API, so the REST API is asked, whose refusals every page can read.
 */
export async function unauthorized() {
  if (restApi === httpApi) return false;
  try {
    const answer = await fetch(`${restApi}/images/nobody/000000000000/0.jpg`, { headers: authorization() });
    return [401, 403].includes(answer.status);
  } catch {
    return false;
  }
}

/** Cancels a running job and returns it, or deletes a finished job and returns null. */
export async function remove(id) {
  try {
    // The page may be closed meanwhile.
    return await ask(`${httpApi}/jobs/${id}`, { method: 'DELETE', keepalive: true });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Whether a path in an answer leads to the REST API. Joined with its address, any other text could name another host. */
const isPath = (path) => /^\/(?![/\\])/.test(path);

/** A picture of a job, as a blob. */
export async function picture(path) {
  if (!isPath(path)) throw new Refused(0, `The pipeline has a picture at ${path}, which is no path of it.`);
  return ask(restApi + path, { as: 'blob' });
}

/** The address for an image element. Null if a token is needed, since an image element cannot send one, or if there is none. */
export const address = (path) => (token.get() || !isPath(path) ? null : restApi + path);

/**
 * Uploads a photograph, and returns its ETag without quotes, or null if the page may not read it. `onProgress` receives the
 * uploaded share, 0 to 1, which `fetch` does not report. `signal` aborts the upload.
 */
export function upload(id, ages, photo, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    signal.addEventListener('abort', () => request.abort());
    request.open('PUT', `${restApi}/images/${id}?ages=${ages.join('%2C')}`);
    request.setRequestHeader('content-type', photo.type);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    // An upload may take long, but silence means that the connection was lost.
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), PATIENCE * 1000);
    };
    heard();
    request.upload.onprogress = (event) => {
      heard();
      onProgress(event.loaded / event.total);
    };
    request.onloadend = () => clearTimeout(silence);
    // The browser complains about a question for a header that it hides from the page, but not about a missing one.
    const etag = () => /^etag: *"?([^"\r\n]+)/im.exec(request.getAllResponseHeaders())?.[1] ?? null;
    request.onload = () => (request.status === 200 ? resolve(etag()) : reject(refusal(request.status, request.responseText)));
    request.onerror = request.onabort = () => reject(new Unreachable('The connection was lost.'));
    request.send(photo);
  });
}
