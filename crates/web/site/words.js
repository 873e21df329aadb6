// The texts of the page that are not in index.html.

/** The title of a failure, by its code. The failure's message says what to do. */
const FAILURES = {
  NO_FACE: 'No face was found',
  FACE_TOO_SMALL: 'The face is too small',
  UNSUPPORTED_IMAGE: 'This picture cannot be used',
  CORRUPT_IMAGE: 'The picture is damaged',
  IMAGE_TOO_LARGE: 'The picture is too large',
  INVALID_AGES: 'These ages do not work',
  MODEL_ERROR: 'The ageing engine failed',
  TIMEOUT: 'It took too long',
  QUOTA_EXCEEDED: 'That is enough for today',
};

/** Further advice, by the failure's code. */
const ADVICE = {
  FACE_TOO_SMALL: 'Cut the photograph so that the face fills a third of it, or go closer.',
  UNSUPPORTED_IMAGE: 'Save it as JPEG, PNG or WebP, and send that.',
  CORRUPT_IMAGE: 'Open it in a picture viewer. If all of it shows, save it again and send that.',
  MODEL_ERROR: 'Send it again in a minute. If that fails too, the pipeline\'s operator can find the reason in its logs.',
  TIMEOUT: 'The pipeline may be busy. Send it again in a few minutes.',
  QUOTA_EXCEEDED: 'You have used your portraits of the day. Send it again tomorrow.',
};

/** A message of an API as a sentence, with a capital letter and a full stop. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/[.\s]*$/, '.');
}

/** What to do where no usable face was found, in place of the failure's message if the failure says where was looked. */
const FACES = {
  NO_FACE: 'A well lit portrait works, upright and looking at the camera. So does the part of this photograph around a face.',
  FACE_TOO_SMALL: 'A photograph from closer by works, or the same one with more pixels.',
};

/** Where a face was looked for. */
function where({ width, height, least, face }) {
  if (face) return `The largest face, marked above, is ${face.width} pixels wide. At least ${least} are needed.`;
  const limit = least ? `, at least ${least} pixels wide. The square in the middle of the photograph has that size` : '';
  return `All ${width} × ${height} pixels were searched for upright faces that look this way${limit}.`;
}

/** A job's failure: a title, what to do, and where a face was looked for. */
export function failure({ code, message, search }) {
  const title = FAILURES[code] ?? 'It failed';
  if (search && FACES[code]) return { title, why: FACES[code], where: where(search), search };
  return { title, why: [sentence(message), ADVICE[code]].filter(Boolean).join(' ') };
}

/** The state of a portrait, in a few words. */
export function state(entry) {
  switch (entry.phase) {
    case 'uploading': return 'uploading';
    case 'queued': return 'queued';
    case 'working': return 'working';
    case 'failed': return entry.job?.error ? FAILURES[entry.job.error.code] ?? 'failed' : 'failed';
    case 'cancelled': return 'cancelled';
    default: return ago(entry.job.createdAt);
  }
}

/** `20, 40 and 60` */
export function list(things) {
  return new Intl.ListFormat('en-GB').format(things.map(String));
}

/** `34 years old` */
export function years(age) {
  return age === 1 ? '1 year old' : `${age} years old`;
}

/** How long ago a moment was: `3 minutes ago`. */
export function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  const format = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  for (const [unit, length] of [['day', 86400], ['hour', 3600], ['minute', 60]]) {
    if (seconds >= length) return format.format(-Math.floor(seconds / length), unit);
  }
  return 'just now';
}
