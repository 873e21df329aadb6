// Turns the user's file into a photograph that the pipeline accepts.

/** The limit of the REST API. */
const MAX_BYTES = 10 << 20;
/** The longer side of a shrunk picture, in pixels. Its faces are still far larger than the network's input. */
const LONGER_SIDE = 4096;

const FORMATS = 'An iPhone takes JPEG photographs with Settings > Camera > Formats > Most Compatible.';

/** A file that cannot be sent. `message` gives the reason, and names files that work. */
export class NoPhoto extends Error {}

/** The media type by a file's first bytes. Null if the pipeline does not accept the format. */
function mediaType(bytes) {
  const begins = (...values) => values.every((value, n) => value === null || bytes[n] === value);
  if (begins(0xff, 0xd8, 0xff)) return 'image/jpeg';
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'image/png';
  if (begins(0x52, 0x49, 0x46, 0x46, null, null, null, null, 0x57, 0x45, 0x42, 0x50)) return 'image/webp';
  return null;
}

/** Whether a file's first bytes are HEIF's with HEVC, as iPhones save photographs: its brand, or one that it is compatible with. */
function isHeic(bytes) {
  const text = String.fromCharCode(...bytes);
  if (text.slice(4, 8) !== 'ftyp') return false;
  const end = Math.min(text.length, new DataView(bytes.buffer).getUint32(0));
  const brands = Array.from({ length: Math.max(0, Math.floor((end - 8) / 4)) }, (_, n) => text.slice(8 + 4 * n, 12 + 4 * n));
  // The second word is the version of the first brand.
  return brands.some((brand, n) => n !== 1 && /^(hei[cxms]|hev[cxms])$/.test(brand));
}

/** A file's picture, upright, as the browser decodes it. An animation gives its first frame. */
async function decoded(file) {
  try {
    return await createImageBitmap(file);
  } catch (error) {
    // Safari shows some formats in an image element only.
    const picture = new Image();
    const address = URL.createObjectURL(file);
    try {
      picture.src = address;
      await picture.decode();
      if (!picture.naturalWidth || !picture.naturalHeight) throw error;
      return await createImageBitmap(picture);
    } finally {
      URL.revokeObjectURL(address);
    }
  }
}

/**
 * Prepares a file for the upload. It becomes a JPEG if it is too large, or of a format that only the browser can read.
 */
export async function prepare(file) {
  const name = file.name || 'The pasted file';
  if (file.size === 0) throw new NoPhoto(`${name} is empty. A JPEG, PNG or WebP photograph works.`);
  let type;
  let first;
  try {
    first = new Uint8Array(await file.slice(0, 64).arrayBuffer());
    type = mediaType(first);
  } catch {
    throw new NoPhoto(`${name} cannot be read. It may be a folder, or deleted. A JPEG, PNG or WebP photograph works.`);
  }
  if (type && file.size <= MAX_BYTES) return new Blob([file], { type });
  let picture;
  try {
    picture = await decoded(file);
  } catch {
    if (isHeic(first)) {
      throw new NoPhoto(`${name} is a HEIC picture, which this browser cannot read. Export it as JPEG, or send it with Safari. ${FORMATS}`);
    }
    throw new NoPhoto(
      type ? `${name} is damaged, or too large for this browser to shrink to 10 MB. Send a smaller version of it.`
        : `${name} is not a picture that this browser can read. A JPEG, PNG or WebP photograph works.`,
    );
  }
  const scale = Math.min(1, LONGER_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  // JPEG has no transparency, so transparent pixels become white.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  for (const quality of [0.92, 0.7]) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality));
    if (blob && blob.size <= MAX_BYTES) return blob;
  }
  throw new NoPhoto(`${name} cannot be shrunk to 10 MB. Send a smaller version of it.`);
}

/**
 * A portrait's id from its file's name. Characters that an id cannot hold become `-`. The end is random, so that two files of
 * the same name get different ids.
 */
export function idOf(file) {
  const stem = (file.name ?? '').replace(/\.[^.]*$/, '').normalize('NFKD').replace(/\p{M}/gu, '');
  const plain = stem.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[._-]+|[._-]+$/g, '').slice(0, 40);
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789';
  const random = Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => letters[byte % letters.length]);
  return `${plain || 'portrait'}-${random.join('')}`;
}
