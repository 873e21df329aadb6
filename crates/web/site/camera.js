// A photograph with the camera. The page loads this module only on request.

const $ = (id) => document.getElementById(id);
const WHY = {
  NotAllowedError: 'This page may not use the camera. Allow it beside the browser\'s address bar, or choose a photo.',
  NotFoundError: 'There is no camera here. Choose a photo instead.',
  NotReadableError: 'Another program uses the camera. Close that program, or choose a photo.',
};

/** The photograph as a file. Null if the dialog was closed without one. */
export async function photograph() {
  const [dialog, finder, message, shoot] = [$('shooting'), $('finder'), $('shooting-message'), $('shoot')];
  message.textContent = 'The browser asks whether this page may use the camera.';
  shoot.disabled = true;
  let stream = null;
  let file = null;
  const closed = new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  const take = async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [finder.videoWidth, finder.videoHeight];
    canvas.getContext('2d').drawImage(finder, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.95));
    file = new File([blob], 'camera.jpg', { type: 'image/jpeg' });
    dialog.close();
  };
  const close = () => dialog.close();
  shoot.addEventListener('click', take);
  $('shooting-close').addEventListener('click', close);
  dialog.showModal();
  try {
    if (!navigator.mediaDevices) throw new Error('Browsers allow the camera only for pages from https or from this machine. Choose a photo instead.');
    const video = { facingMode: 'user', width: { ideal: 1920 }, height: { ideal: 1440 } };
    stream = await navigator.mediaDevices.getUserMedia({ video });
    // The dialog may have been closed while the browser asked for permission.
    if (dialog.open) {
      finder.srcObject = stream;
      await finder.play();
      message.textContent = 'Look at the camera, upright, with light on the face.';
      shoot.disabled = false;
      shoot.focus();
    }
  } catch (error) {
    message.textContent = WHY[error.name] ?? error.message;
  }
  await closed;
  stop();
  finder.srcObject = null;
  shoot.removeEventListener('click', take);
  $('shooting-close').removeEventListener('click', close);
  return file;
}
