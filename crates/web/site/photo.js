// A photograph, from whatever was picked to what the pipeline takes.

/** The REST API takes no more. */
const MAX_BYTES = 10 << 20;
/** What larger ones are shrunk to, in pixels of the longer side: faces in them are still far larger than the network's. */
const LONGER_SIDE = 4096;

/** Something that cannot be sent; `message` says why and what would work. */
export class NoPhoto extends Error {}

/** The media type that leading bytes announce, of those that the pipeline takes. */
function mediaType(bytes) {
  const begins = (...values) => values.every((value, n) => value === null || bytes[n] === value);
  if (begins(0xff, 0xd8, 0xff)) return 'image/jpeg';
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'image/png';
  if (begins(0x52, 0x49, 0x46, 0x46, null, null, null, null, 0x57, 0x45, 0x42, 0x50)) return 'image/webp';
  return null;
}

/**
 * What to send of a file: itself, or a JPEG of it where it is too large or of a format that only this browser reads.
 */
export async function prepare(file) {
  const name = file.name || 'what was pasted';
  if (file.size === 0) throw new NoPhoto(`${name} is empty. A JPEG, PNG or WebP photograph works.`);
  let type;
  try {
    type = mediaType(new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  } catch {
    throw new NoPhoto(`${name} cannot be read. Is it a folder, or gone? A JPEG, PNG or WebP photograph works.`);
  }
  if (type && file.size <= MAX_BYTES) return new Blob([file], { type });
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new NoPhoto(
      type ? `${name} is damaged, or too large for this browser to shrink to 10 MB. Save it smaller and send that.`
        : `${name} is no picture that this browser can read. A JPEG, PNG or WebP photograph works.`,
    );
  }
  const scale = Math.min(1, LONGER_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  // JPEG knows no transparency: what is behind it is white, as on paper.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  for (const quality of [0.92, 0.7]) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality));
    if (blob && blob.size <= MAX_BYTES) return blob;
  }
  throw new NoPhoto(`${name} cannot be shrunk to 10 MB. Save it smaller and send that.`);
}

/**
 * A name for a portrait, made of the file's: what an id cannot hold becomes `-`. Its end is drawn by lot, so that nobody's
 * picture takes the place of another's.
 */
export function idOf(file) {
  const stem = (file.name ?? '').replace(/\.[^.]*$/, '').normalize('NFKD').replace(/\p{M}/gu, '');
  const plain = stem.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[._-]+|[._-]+$/g, '').slice(0, 40);
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789';
  const lot = Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => letters[byte % letters.length]);
  return `${plain || 'portrait'}-${lot.join('')}`;
}
