// The picture that is shown as one file, with both ages written in. The page loads this module only on request.

/** Width and height in pixels. */
const SIZE = 1080;
/** Room around a label, and between its text and its edges, in pixels. */
const [MARGIN, PADDING] = [32, 18];

/** The picture of a stage as a canvas: the original up to a share of the width, with a label on each side. */
export function still(stage, { share, left, right }) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIZE;
  stage.draw(canvas, share);
  const context = canvas.getContext('2d');
  if (share > 0 && share < 1) {
    context.fillStyle = '#fffdf9';
    context.fillRect(share * SIZE - 2, 0, 4, SIZE);
  }
  if (share > 0) label(context, left, 'left');
  if (share < 1) label(context, right, 'right');
  return canvas;
}

function label(context, text, side) {
  context.font = '600 44px Georgia, serif';
  context.textBaseline = 'middle';
  const width = context.measureText(text).width + 2 * PADDING;
  const left = side === 'left' ? MARGIN : SIZE - MARGIN - width;
  const [height, top] = [76, SIZE - MARGIN - 76];
  context.fillStyle = '#17130fc0';
  context.beginPath();
  context.roundRect(left, top, width, height, 14);
  context.fill();
  context.fillStyle = '#fffdf9';
  context.fillText(text, left + PADDING, top + height / 2 + 2);
}

/** A canvas as a file of a media type. */
export function encoded(canvas, type) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('The browser has no memory left.'))), type, 0.92);
  });
}
