// An animated GIF (version 89a) of the journey through the ages. The page loads this module only on request.

/** Width and height in pixels. */
const SIZE = 480;
/** How long an age is shown, in hundredths of a second. */
const HOLD = 70;
/** The number of blended frames between two ages. */
const BETWEEN = 7;
/** How long a blended frame is shown, in hundredths of a second. */
const FADE = 7;
const COLORS = 256;

/**
 * Makes the animation of pictures `{age, url}`: from the youngest to the oldest, then directly back to the youngest. With
 * one age only, the original is the other picture. `onProgress` receives the finished share, 0 to 1.
 */
export async function animation(pictures, onProgress) {
  const aged = [...new Map(pictures.filter(({ age }) => age !== null).map((picture) => [picture.age, picture])).values()];
  aged.sort((one, two) => one.age - two.age);
  const shown = aged.length > 1 ? aged : [pictures[0], ...aged];
  const panels = await Promise.all(shown.map(({ url }) => pixels(url)));
  const palette = paletteOf(panels);
  const nearest = new Int16Array(1 << 15).fill(-1);
  const parts = [head(palette)];
  const all = panels.length * (BETWEEN + 1);
  for (let n = 0; n < all; n++) {
    onProgress(n / all);
    // Yields to the page.
    await new Promise((resolve) => setTimeout(resolve));
    const [panel, step] = [Math.floor(n / (BETWEEN + 1)), n % (BETWEEN + 1)];
    const t = step / (BETWEEN + 1);
    const frame = blend(panels[panel], panels[(panel + 1) % panels.length], t * t * (3 - 2 * t));
    parts.push(image(indexed(frame, palette, nearest), step === 0 ? HOLD : FADE));
  }
  parts.push(Uint8Array.of(0x3b));
  return new Blob(parts, { type: 'image/gif' });
}

async function pixels(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIZE;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, SIZE, SIZE);
  return context.getImageData(0, 0, SIZE, SIZE).data;
}

function blend(one, two, t) {
  if (t === 0) return one;
  const frame = new Uint8ClampedArray(one.length);
  for (let n = 0; n < frame.length; n++) frame[n] = one[n] + (two[n] - one[n]) * t;
  return frame;
}

/**
 * A palette by median cut (Heckbert 1982). The box with the largest product of length and root of its pixel count is halved
 * along its longest side.
 */
function paletteOf(panels) {
  const counts = new Uint32Array(1 << 15);
  for (const panel of panels) {
    for (let n = 0; n < panel.length; n += 4) counts[((panel[n] >> 3) << 10) | ((panel[n + 1] >> 3) << 5) | (panel[n + 2] >> 3)]++;
  }
  const side = (color, axis) => (color >> (10 - 5 * axis)) & 31;
  const box = (colors) => {
    let [axis, length, weight] = [0, -1, 0];
    for (const color of colors) weight += counts[color];
    for (const of of [0, 1, 2]) {
      let [least, most] = [31, 0];
      for (const color of colors) [least, most] = [Math.min(least, side(color, of)), Math.max(most, side(color, of))];
      if (most - least > length) [axis, length] = [of, most - least];
    }
    return { colors, axis, weight, need: length * Math.sqrt(weight) };
  };
  const boxes = [box([...counts.keys()].filter((color) => counts[color]))];
  while (boxes.length < COLORS) {
    boxes.sort((one, two) => two.need - one.need);
    if (boxes[0].need === 0) break;
    const { colors, axis, weight } = boxes.shift();
    colors.sort((one, two) => side(one, axis) - side(two, axis));
    let [cut, sum] = [0, 0];
    while (cut < colors.length - 1 && (cut === 0 || sum + counts[colors[cut]] <= weight / 2)) sum += counts[colors[cut++]];
    boxes.push(box(colors.slice(0, cut)), box(colors.slice(cut)));
  }
  const palette = new Uint8Array(COLORS * 3);
  boxes.forEach(({ colors, weight }, n) => {
    for (const axis of [0, 1, 2]) {
      palette[3 * n + axis] = colors.reduce((sum, color) => sum + (8 * side(color, axis) + 4) * counts[color], 0) / weight;
    }
  });
  return palette;
}

/** Bayer's 8 x 8 thresholds for ordered dithering, from -1/2 to 1/2. They turn bands into a fine, even grain. */
const BAYER = Float32Array.from({ length: 64 }, (_, n) => {
  const [x, y] = [n & 7, n >> 3];
  let value = 0;
  for (const bit of [0, 1, 2]) value = 4 * value + 2 * (((x ^ y) >> bit) & 1) + ((y >> bit) & 1);
  return value / 64 - 0.5;
});
const GRAIN = 10;

function indexed(frame, palette, nearest) {
  const indices = new Uint8Array(SIZE * SIZE);
  for (let n = 0; n < indices.length; n++) {
    const grain = BAYER[((n % SIZE) & 7) | (((n / SIZE) & 7) << 3)] * GRAIN;
    const level = (axis) => Math.min(31, Math.max(0, (frame[4 * n + axis] + grain) >> 3));
    const color = (level(0) << 10) | (level(1) << 5) | level(2);
    if (nearest[color] < 0) nearest[color] = find(palette, color);
    indices[n] = nearest[color];
  }
  return indices;
}

function find(palette, color) {
  const [red, green, blue] = [10, 5, 0].map((shift) => 8 * ((color >> shift) & 31) + 4);
  let [best, least] = [0, Infinity];
  for (let n = 0; n < COLORS; n++) {
    const distance = (palette[3 * n] - red) ** 2 + (palette[3 * n + 1] - green) ** 2 + (palette[3 * n + 2] - blue) ** 2;
    if (distance < least) [best, least] = [n, distance];
  }
  return best;
}

/** The header, the screen, the palette, and the extension that repeats the animation for ever. */
function head(palette) {
  const text = (letters) => [...letters].map((letter) => letter.charCodeAt(0));
  return Uint8Array.from([
    ...text('GIF89a'), SIZE & 255, SIZE >> 8, SIZE & 255, SIZE >> 8, 0xf7, 0, 0,
    ...palette,
    0x21, 0xff, 11, ...text('NETSCAPE2.0'), 3, 1, 0, 0, 0,
  ]);
}

/** One frame: its duration, its position, and its indices as variable-length LZW codes. */
function image(indices, hundredths) {
  const codes = compressed(indices);
  const blocks = Math.ceil(codes.length / 255);
  const bytes = new Uint8Array(8 + 10 + 1 + codes.length + blocks + 1);
  bytes.set([0x21, 0xf9, 4, 4, hundredths & 255, hundredths >> 8, 0, 0]);
  bytes.set([0x2c, 0, 0, 0, 0, SIZE & 255, SIZE >> 8, SIZE & 255, SIZE >> 8, 0, 8], 8);
  let at = 19;
  for (let from = 0; from < codes.length; from += 255) {
    const block = codes.subarray(from, from + 255);
    bytes[at] = block.length;
    bytes.set(block, at + 1);
    at += block.length + 1;
  }
  return bytes;
}

function compressed(indices) {
  const [clear, end] = [256, 257];
  const bytes = new Uint8Array(2 * indices.length + 16);
  // The code of each pair of a code and a following byte, at `code * 256 + byte`.
  const next = new Int16Array(4096 * 256);
  let [at, bits, held, width, free] = [0, 0, 0, 9, 258];
  const put = (code) => {
    held |= code << bits;
    for (bits += width; bits >= 8; bits -= 8, held >>>= 8) bytes[at++] = held & 255;
  };
  put(clear);
  let code = indices[0];
  for (let n = 1; n < indices.length; n++) {
    const key = code * 256 + indices[n];
    if (next[key]) {
      code = next[key];
      continue;
    }
    put(code);
    if (free < 4096) {
      next[key] = free++;
      if (free - 1 === 1 << width) width++;
    } else {
      put(clear);
      next.fill(0);
      [width, free] = [9, 258];
    }
    code = indices[n];
  }
  put(code);
  // By now the decoder has one code more.
  if (free === 1 << width && width < 12) width++;
  put(end);
  if (bits > 0) bytes[at++] = held & 255;
  return bytes.subarray(0, at);
}
