// The ways to add a photograph: choose, paste, drop, the camera and the sample. The rest of the page is loaded after the first
// paint, and photographs that are added earlier wait for it.

const $ = (id) => document.getElementById(id);

const painted = new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  // A page in the background is never painted.
  setTimeout(resolve, 500);
});
const app = painted.then(() => import('./app.js'));

const send = async (files) => (await app).send(files);
const warn = async (text) => (await app).warn(text);

$('choose').addEventListener('change', () => {
  send([...$('choose').files]);
  $('choose').value = '';
});
$('instead').addEventListener('click', () => $('choose').click());
addEventListener('paste', (event) => {
  if (event.clipboardData.files.length) send([...event.clipboardData.files]);
});

let own = false;
addEventListener('dragstart', () => (own = true));
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.toggle('dragging', !own);
});
for (const end of ['dragleave', 'drop', 'dragend']) {
  addEventListener(end, (event) => {
    if (end !== 'dragleave' || !event.relatedTarget) document.body.classList.remove('dragging');
    if (end === 'dragend') own = false;
  });
}
addEventListener('drop', (event) => {
  event.preventDefault();
  const { files } = event.dataTransfer;
  // A picture that is dragged within the page needs no upload.
  if (own) return;
  if (files.length) send([...files]);
  else warn('That was not a file. Save the picture, and drop the file.');
});

$('camera').addEventListener('click', async () => {
  $('camera').disabled = true;
  try {
    const { photograph } = await import('./camera.js');
    $('camera').disabled = false;
    const file = await photograph();
    if (file) send([file]);
  } catch {
    $('camera').disabled = false;
    warn('The camera cannot be used while the host of this page is unreachable. Choose a photo instead.');
  }
});
$('sample').addEventListener('click', async () => {
  try {
    const answer = await fetch('sample.jpg');
    if (!answer.ok) throw new Error(String(answer.status));
    send([new File([await answer.blob()], 'astronaut.jpg')]);
  } catch {
    warn('The sample cannot be fetched. Choose a photo instead.');
  }
});
