// The web page, used as its users use it. `cargo test --workspace --test e2e page` makes the fixtures and runs this file.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createServer } from 'node:http';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tab, Up, browse, fixture } from './world.mjs';

const { SCREENSHOTS, SITE } = process.env;
let browser;

before(async () => (browser = await browse()));
after(() => browser.close());

/** A test with its own `up`, which gets these options. */
function scenario(name, run, options = []) {
  test(name, async () => {
    const up = await Up.start(undefined, undefined, options);
    try {
      await run(up);
    } catch (error) {
      error.message += await Tab.state(up);
      throw error;
    } finally {
      await up.stop();
    }
  });
}

for (const size of ['small', 'large']) {
  scenario(`a photograph becomes pictures, and the slider chooses the age (${size})`, async (up) => {
    const tab = await Tab.open(browser, up.url, { size });
    const { page } = tab;
    await tab.says('#earlier-message', 'None yet');
    await tab.look('empty');

    up.hold();
    await tab.choose('portrait.png');
    await tab.says('.steps [aria-current]', 'Working');
    assert.match(tab.id, /^portrait-[a-z0-9]{5}$/);
    await tab.says('#message', 'The face is being aged to 20, 40, 60 and 80.');
    await tab.says('#list', 'working');
    await tab.look('working');

    up.release();
    const id = await tab.pictures();
    await tab.says('#status', 'Done: portrait.png at 20, 40, 60 and 80.');
    assert.deepEqual([await tab.text('#viewer-title'), await tab.text('#viewer-id'), await page.title()], ['portrait.png', id, 'portrait.png, Time Traveler']);
    await tab.look('done');
    await page.getByRole('button', { name: 'Sketch' }).click();
    await tab.says('#sketch-why', 'This is a sketch.');
    await tab.look('sketch');
    await page.keyboard.press('Escape');

    // The keyboard moves the age by a year, to the next picture, or to an end.
    const time = page.locator('#time');
    await time.focus();
    const press = async (key, age, opacities) => {
      await page.keyboard.press(key);
      assert.equal(await time.inputValue(), String(age), key);
      assert.equal(await time.getAttribute('aria-valuetext'), `${age} years old`);
      assert.equal(await tab.text('#age'), String(age));
      assert.deepEqual(await tab.shown(), opacities, key);
    };
    await press('Home', 20, [1, 0, 0, 0]);
    const young = await page.locator('#stage').screenshot();
    await press('ArrowRight', 21, [1, 0.05, 0, 0]);
    await press('PageUp', 40, [0, 1, 0, 0]);
    await press('PageUp', 60, [0, 0, 1, 0]);
    await press('PageDown', 40, [0, 1, 0, 0]);
    await press('End', 80, [0, 0, 0, 1]);
    const old = await page.locator('#stage').screenshot();
    assert.ok(!young.equals(old), 'the picture does not change with the age');
    const described = () => page.locator('#picture').getAttribute('aria-label');
    assert.equal(await described(), 'portrait.png, the original on the left, 80 years old on the right');

    // A pointer on the film chooses a picture, or any age while it is dragged.
    const box = async (selector) => {
      await page.locator(selector).scrollIntoViewIfNeeded();
      const { x, y, width, height } = await page.locator(selector).boundingBox();
      return [x, y + height / 3, width];
    };
    const share = () => page.locator('#split').inputValue().then(Number);
    let [x, y, width] = await box('#film');
    // The pictures lie side by side, each in a quarter.
    await page.mouse.click(x + width * 0.45, y);
    assert.equal(await time.inputValue(), '40');
    assert.deepEqual(await page.locator('.frames .here').allInnerTexts(), ['40']);
    await page.mouse.move(x + width * 0.45, y);
    await page.mouse.down();
    await page.mouse.move(x + width / 2, y, { steps: 5 });
    await page.mouse.up();
    assert.equal(await time.inputValue(), '50');
    assert.deepEqual(await tab.shown(), [0, 1, 0.5, 0]);

    // The divider is in the middle, and follows a pointer and the keyboard.
    assert.equal(await share(), 50);
    [x, y, width] = await box('#stage');
    if (size === 'small') await page.touchscreen.tap(x + width / 4, y);
    else {
      await page.mouse.move(x + width / 2, y);
      await page.mouse.down();
      await page.mouse.move(x + width / 4, y, { steps: 5 });
      await page.mouse.up();
    }
    assert.equal(await share(), 25);
    if (size === 'small') {
      // A finger that scrolls does not move the divider. One that moves sideways does.
      const touch = await page.context().newCDPSession(page);
      for (const [from, across, along, expected] of [[0.75, 4, -90, 25], [0.25, width / 4, 3, 50]]) {
        [x, y, width] = await box('#stage');
        const points = (part) => [{ x: x + width * from + across * part, y: y + along * part }];
        await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: points(0) });
        for (let n = 1; n <= 10; n++) {
          await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: points(n / 10) });
          await page.evaluate(() => new Promise(requestAnimationFrame));
        }
        await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
        assert.equal(Math.round(await share()), expected);
      }
    }
    assert.equal(await time.inputValue(), '50', 'the age has changed');
    await page.locator('#split').focus();
    await page.keyboard.press('Home');
    assert.deepEqual([await share(), await described()], [0, 'portrait.png, 50 years old']);
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('#split').getAttribute('aria-valuetext'), '1 % of the width');

    // The original alone, and back.
    const original = page.getByRole('button', { name: 'Original' });
    await original.click();
    assert.deepEqual([await share(), await described(), await original.getAttribute('aria-pressed')], [100, 'portrait.png, the original', 'true']);
    await original.click();
    assert.deepEqual([await share(), await original.getAttribute('aria-pressed')], [1, 'false']);
    await original.click();
    await time.focus();
    await page.keyboard.press('Home');
    assert.equal(await share(), 1, 'an age is chosen behind the original');

    // The journey plays until it is paused.
    await page.locator('#play').click();
    assert.equal(await tab.text('#play'), 'Pause');
    await page.waitForFunction(() => Number(document.getElementById('age').textContent) > 22);
    await page.locator('#play').click();
    const stopped = await tab.text('#age');
    assert.deepEqual(await tab.shown(), await tab.shown());
    assert.deepEqual([await tab.text('#age'), await tab.text('#play')], [stopped, 'Play']);
    await tab.close();
  });
}

scenario('new pictures are revealed one after another, once', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [20, 80], reducedMotion: 'no-preference' });
  const { page } = tab;
  await page.addInitScript(() => {
    window.seen = [];
    const look = () => {
      const stage = document.getElementById('stage');
      if (stage?.classList.contains('revealing')) {
        const frames = [...document.querySelectorAll('.frames span')].filter((frame) => !frame.classList.contains('hidden')).length;
        window.seen.push([frames, document.getElementById('split').valueAsNumber, Number(document.getElementById('age').textContent)]);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.reload();
  await tab.choose('portrait.png');
  await tab.pictures();
  await page.waitForFunction(() => window.seen.length && !document.querySelector('.revealing'));
  const seen = await page.evaluate(() => window.seen);
  const never = seen.some(([frames], n) => n > 0 && frames < seen[n - 1][0]);
  assert.ok(!never, 'a picture is hidden again');
  const first = seen.filter(([frames]) => frames === 1);
  assert.ok(first.some(([, share]) => share > 50) && first.every(([, , age]) => age === 20), String(first));
  assert.ok(seen.some(([frames, share, age]) => frames === 2 && share === 0 && age > 20 && age < 80), String(seen));
  assert.deepEqual(await page.evaluate(() => [document.getElementById('split').valueAsNumber, document.getElementById('age').textContent]), [50, '80']);
  assert.equal(await tab.text('#play'), 'Play');
  // A portrait that is opened again is there at once.
  await page.reload();
  await tab.pictures();
  assert.deepEqual(await page.evaluate(() => window.seen), []);
  // Whoever interrupts it has all pictures at once.
  await page.goto(`${up.url}/#/`);
  await tab.choose('other.png');
  await page.locator('.revealing').waitFor();
  await page.locator('#time').focus();
  await page.keyboard.press('Home');
  assert.equal(await page.locator('.frames .hidden, .revealing').count(), 0);
  assert.deepEqual([await tab.text('#age'), await page.locator('#split').inputValue()], ['20', '50']);
  await tab.close();
});

scenario('the empty page shows a sample that can be dragged, and other sites get a card and icons', async (up) => {
  const tab = await Tab.open(browser, up.url, { reducedMotion: 'no-preference' });
  const { page } = tab;
  const range = page.getByLabel('Divider between 20 and 80');
  const loaded = await page.locator('#sampled img').evaluateAll((images) => Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth))));
  assert.deepEqual(loaded, [520, 520]);
  // It moves by itself until it is touched.
  await page.waitForFunction(() => parseFloat(getComputedStyle(document.getElementById('sampled')).getPropertyValue('--share')) > 60);
  const { x, y, width, height } = await page.locator('#sampled').boundingBox();
  await page.mouse.click(x + width / 4, y + height / 2);
  assert.equal(await range.inputValue(), '25');
  assert.match(await page.locator('#sampled').evaluate((stage) => getComputedStyle(stage).getPropertyValue('--share')), /^25/);
  await range.focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await range.inputValue(), '26');
  // Browsers take text of the page as it is, without its scripts.
  const markup = await (await fetch(up.url)).text();
  const named = [...markup.matchAll(/(?:rel="(?:icon|apple-touch-icon|manifest)" href|og:image" content)="([^"]+)"/g)].map(([, name]) => name);
  assert.deepEqual(named, ['card.jpg', 'favicon.ico', 'icon.svg', 'icon-180.png', 'manifest.json']);
  const { icons } = await up.json('/manifest.json');
  const sizes = { 'card.jpg': [1200, 630], 'icon-180.png': [180, 180], 'icon-512.png': [512, 512], 'favicon.ico': [32, 32], 'icon.svg': [32, 32] };
  for (const name of [...named, ...icons.map(({ src }) => src)].filter((name) => name !== 'manifest.json')) {
    const size = await page.evaluate(async (src) => {
      const image = Object.assign(new Image(), { src });
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }, name);
    assert.ok(name === 'icon.svg' || String(size) === String(sizes[name]), `${name}: ${size}`);
  }
  await tab.close();
});

scenario('a portrait waits for its own job, though its id has another one', async (up) => {
  const id = 'portrait-aaaaa';
  const photo = readFileSync(fixture('portrait.png'));
  const earlier = async (ages) => {
    await fetch(`${up.url}/images/${id}?ages=${ages}`, { method: 'PUT', body: photo });
    for (let job = {}; job.status !== 'SUCCESS' || String(job.ages) !== ages; ) job = await up.json(`/jobs/${id}?wait=1`);
  };
  await earlier('30');
  const tab = await Tab.open(browser, 'about:blank', { path: '' });
  // The random end of the id is always the same.
  await tab.page.addInitScript(() => (crypto.getRandomValues = (values) => values.fill(0)));
  await tab.page.addInitScript(() => {
    window.said = [];
    const note = () => window.said.push(document.getElementById('status').textContent);
    addEventListener('DOMContentLoaded', () => new MutationObserver(note).observe(document.getElementById('status'), { childList: true }));
  });
  const results = async () => (await tab.page.evaluate(() => window.said)).filter((text) => text.startsWith('Done'));
  await tab.page.goto(up.url);
  await tab.says('#list', id);
  await tab.choose('portrait.png');
  await tab.says('#status', 'Done: portrait.png at 20, 40, 60 and 80.');
  assert.deepEqual(await results(), ['Done: portrait.png at 20, 40, 60 and 80.']);
  // A reload forgets nothing.
  await earlier('50');
  await tab.page.getByRole('link', { name: 'New portrait' }).click();
  await tab.page.getByLabel('20', { exact: true }).uncheck();
  const sent = tab.page.waitForResponse((answer) => answer.request().method() === 'PUT');
  await tab.choose('portrait.png');
  await (await sent).finished();
  await tab.page.reload();
  await tab.says('#status', 'Done: portrait.png at 40, 60 and 80.');
  assert.deepEqual(await results(), ['Done: portrait.png at 40, 60 and 80.']);
  await tab.close();
}, ['--chaos', 'seed=3,delay-event=1,delay-seconds=2']);

scenario('pictures are saved and shared', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [40, 80], permissions: ['clipboard-read', 'clipboard-write'] });
  const { page } = tab;
  await tab.choose('portrait.png');
  const id = await tab.pictures();
  const job = await up.json(`/jobs/${id}`);
  assert.deepEqual(job.ages, [40, 80]);
  const save = async (name) => {
    const [download] = await Promise.all([page.waitForEvent('download'), tab.pick('#save', name)]);
    return [download.suggestedFilename(), await download.path()];
  };
  for (const [n, name, file] of [[0, 'Original', 'portrait-original.jpg'], [1, 'At 40', 'portrait-at-40.jpg'], [2, 'At 80', 'portrait-at-80.jpg']]) {
    const [suggested, path] = await save(name);
    assert.equal(suggested, file);
    const answer = await fetch(up.url + job.images[n].path);
    assert.ok(readFileSync(path).equals(Buffer.from(await answer.arrayBuffer())), 'the file has other bytes than the API');
  }
  // The Rust test that started this file checks the animation and the picture of both ages.
  for (const [name, file, kept] of [['Animation', 'portrait.gif', 'animation.gif'], ['Before and after', 'portrait-original-and-80.jpg', 'before-and-after.jpg']]) {
    const [suggested, path] = await save(name);
    assert.equal(suggested, file);
    copyFileSync(path, join(SCREENSHOTS, kept));
    await tab.says('#saved', `${file}, `);
  }

  // The menu is one for the keyboard: arrows move, Escape closes, and the focus returns.
  await page.locator('#save').focus();
  await page.keyboard.press('Enter');
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  assert.equal(await focused(), 'Animation of all ages (GIF)');
  assert.equal(await page.locator('#save').getAttribute('aria-expanded'), 'true');
  await tab.look('save');
  await page.keyboard.press('ArrowUp');
  assert.equal(await focused(), 'At 80');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(), 'Animation of all ages (GIF)');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'Save');
  assert.equal(await page.locator('#save').getAttribute('aria-expanded'), 'false');

  // The button closes its own menu.
  await page.locator('#save').click();
  await page.locator('#menu').waitFor();
  await page.locator('#save').click();
  await page.locator('#menu').waitFor({ state: 'hidden' });

  // Without a share sheet, the link and the picture can be copied.
  await tab.pick('#share', 'Copy the link');
  await tab.says('#saved', 'The link is copied.');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${up.url}/#/${id}`);
  await tab.pick('#share', 'Copy this picture');
  await tab.says('#saved', 'The picture is copied.');
  assert.deepEqual(await page.evaluate(async () => (await navigator.clipboard.read())[0].types), ['image/png']);
  // The share sheet gets the picture.
  await page.evaluate(() => {
    navigator.canShare = ({ files }) => files.length === 1;
    navigator.share = async ({ files }) => (window.shared = [files[0].name, files[0].type, files[0].size > 10_000]);
  });
  await page.locator('#share').click();
  await page.waitForFunction(() => window.shared);
  assert.deepEqual(await page.evaluate(() => window.shared), ['portrait-original-and-80.jpg', 'image/jpeg', true]);
  await tab.close();
});

scenario('files that cannot be sent are named', async (up) => {
  for (const size of ['small', 'large']) {
    const tab = await Tab.open(browser, up.url, { size });
    await tab.choose('notes.txt');
    await tab.says('#refused', 'notes.txt is not a picture that this browser can read. A JPEG, PNG or WebP photograph works.');
    assert.equal(tab.id, '', 'something was sent');
    await tab.look('refused');
    // Chromium reads no HEIC.
    await tab.choose('portrait.heic');
    await tab.says('#refused', 'portrait.heic is a HEIC picture, which this browser cannot read.');
    await tab.says('#refused', 'Settings > Camera > Formats > Most Compatible');
    await tab.choose('empty.jpg');
    await tab.says('#refused', 'empty.jpg is empty.');
    // Only one of these files can be sent.
    await tab.choose('notes.txt', 'broken.png', 'empty.jpg');
    await tab.says('#failed-title', 'The picture is damaged');
    await tab.says('#failed-why', 'Open it in a picture viewer');
    assert.equal((await tab.text('#refused')).split('\n').filter(Boolean).length, 2);
    await tab.look('failed');
    // The photograph is shown, and where a face was looked for.
    const place = (box) => tab.page.locator(box).evaluate(({ style }) => [style.left, style.top, style.width].map(parseFloat));
    await tab.choose('wall.png');
    await tab.says('#failed-title', 'No face was found');
    await tab.says('#failed-search', 'All 300 × 200 pixels were searched for upright faces that look this way, at least 36 pixels wide.');
    assert.equal((await tab.text('#failed')).match(/well lit/g).length, 1, 'the advice is given twice');
    await tab.page.locator('#sent').waitFor();
    assert.deepEqual((await place('.least')).map(Math.round), [44, 41, 12]);
    await tab.look('no-face');
    await tab.choose('small.png');
    await tab.says('#failed-title', 'The face is too small');
    await tab.says('#failed-search', /The largest face, marked above, is [34]\d pixels wide. At least 48 are needed./);
    const [left, top, width] = await place('.found');
    assert.ok(left > 25 && left < 45 && top > 10 && top < 30 && width > 17 && width < 22, `${left} ${top} ${width}`);
    await tab.look('small-face');
    const chooser = tab.page.waitForEvent('filechooser');
    await tab.page.getByRole('button', { name: 'Choose another photo' }).click();
    await chooser;
    const { jobs } = await up.json('/jobs');
    assert.equal(jobs.length, size === 'small' ? 3 : 6);
    await tab.close();
  }
});

scenario('pictures that are too large or of another format are converted', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [80] });
  for (const name of ['large.png', 'portrait.bmp', 'portrait.avif', 'portrait.gif']) {
    await tab.page.goto(`${up.url}/#/`);
    await tab.choose(name);
    await tab.page.waitForURL(/#\/[a-z]/);
    await tab.pictures();
  }
  await tab.close();
});

scenario('1 to 16 ages are chosen and remembered', async (up) => {
  const tab = await Tab.open(browser, up.url);
  const { page } = tab;
  const add = async (age) => {
    await page.getByLabel('Another age').fill(age);
    await page.keyboard.press('Enter');
  };
  await add('101');
  await tab.says('#ages-message', 'An age is a whole number from 0 to 100.');
  await add('2.5');
  await tab.says('#ages-message', 'An age is a whole number from 0 to 100.');
  await add('33');
  await tab.says('#ages-message', '5 chosen');
  for (let age = 1; age <= 11; age++) await add(String(age));
  await tab.says('#ages-message', '16 chosen');
  await add('99');
  await tab.says('#ages-message', '16 ages at most');
  await tab.look('ages');
  const boxes = page.locator('#chips input');
  for (let n = (await boxes.count()) - 1; n > 0; n--) await boxes.nth(n).uncheck();
  await tab.says('#ages-message', '1 chosen');
  await boxes.first().click();
  await tab.says('#ages-message', 'At least one age is needed');
  await page.reload();
  await tab.says('#ages-message', '1 chosen');
  await tab.choose('portrait.png');
  const id = await tab.pictures();
  assert.deepEqual((await up.json(`/jobs/${id}`)).ages, [1]);
  // With one age there is no slider, but the original can be compared.
  assert.equal(await page.locator('#time').isVisible(), false);
  assert.match(await page.locator('#picture').getAttribute('aria-label'), /, 1 year old on the right$/);
  await tab.look('one-age');
  await tab.close();
});

scenario('ages cannot be entered before something takes them', async (up) => {
  const tab = await Tab.open(browser, up.url);
  const { page } = tab;
  let arrive;
  const arrived = new Promise((resolve) => (arrive = resolve));
  await page.route('**/app.js', async (route) => {
    await arrived;
    await route.continue();
  });
  await page.reload();
  const field = page.getByLabel('Another age');
  assert.equal(await field.isDisabled(), true);
  arrive();
  await field.fill('33');
  await page.keyboard.press('Enter');
  await tab.says('#ages-message', '5 chosen');
  await tab.close();
});

scenario('portraits are listed, cancelled and deleted, and a deletion can be undone', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [20, 80] });
  const { page } = tab;
  await tab.choose('portrait.png', 'other.png');
  const id = await tab.pictures();
  const items = page.locator('#list li');
  // A thumbnail is half the youngest, half the oldest.
  await page.waitForFunction(() => document.querySelectorAll('#list [data-phase="done"] img').length === 4);
  const thumbs = await page.locator('#list img').evaluateAll((images) => Promise.all(images.map((image) => image.decode().then(() => [image.naturalWidth, image.src.slice(-5)]))));
  assert.deepEqual(thumbs, [[1024, '1.jpg'], [1024, '2.jpg'], [1024, '1.jpg'], [1024, '2.jpg']]);
  assert.deepEqual(await page.locator('#list .name').allInnerTexts(), ['other.png', 'portrait.png']);
  await tab.look('list');

  // The link of another portrait opens it.
  await page.locator('#list a:not([aria-current])').click();
  await tab.says('#viewer-title', 'other.png');
  const other = await tab.pictures();
  assert.notEqual(other, id);

  // Deleting can be undone, with the mouse or the keyboard. The pipeline still has the portrait.
  await tab.pick(`#list li:has([href="#/${id}"]) .icon`, 'Delete');
  await items.nth(1).waitFor({ state: 'detached' });
  await tab.says('#undoing', 'portrait.png is deleted.');
  assert.equal((await fetch(`${up.url}/jobs/${id}`)).status, 200);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), `#/${other}`);
  await tab.look('undo');
  await page.getByRole('button', { name: 'Undo' }).click();
  await items.nth(1).waitFor();
  assert.equal(await page.locator('#undoing').isVisible(), false);
  await tab.pick('#viewer-more', 'Delete');
  await tab.says('#status', 'other.png is deleted. Control Z undoes it.');
  assert.equal(await page.locator('#viewer').isVisible(), false);
  await page.keyboard.press('Control+z');
  assert.equal(await tab.pictures(), other);

  // It is final after the next one, after some seconds, or when the page is left.
  const status = async (id, wanted) => {
    while ((await fetch(`${up.url}/jobs/${id}`)).status !== wanted);
  };
  await tab.pick(`#list li:has([href="#/${id}"]) .icon`, 'Delete');
  await tab.pick('#viewer-more', 'Delete');
  await status(id, 404);
  await tab.says('#earlier-message', 'None yet');
  await page.waitForFunction(() => document.activeElement.id === 'earlier-title' || document.activeElement.id === 'new');
  await page.goto('about:blank');
  await status(other, 404);
  await page.clock.install();
  await page.goto(up.url);
  await tab.choose('portrait.png');
  const late = await tab.pictures();
  await tab.pick('#viewer-more', 'Delete');
  await page.clock.runFor(9_000);
  assert.equal((await fetch(`${up.url}/jobs/${late}`)).status, 200);
  await page.clock.runFor(2_000);
  await status(late, 404);
  await page.clock.resume();

  up.hold();
  await tab.choose('portrait.png');
  await tab.says('.steps [aria-current]', 'Working');
  const running = tab.id;
  await page.locator('#cancel').click();
  await tab.says('#failed-title', 'Cancelled');
  assert.equal((await up.json(`/jobs/${running}`)).status, 'CANCELLED');
  up.release();
  await page.locator('#again').click();
  assert.notEqual(await tab.pictures(), running);
  await tab.close();
});

scenario('portraits sent by other clients are listed, page by page', async (up) => {
  for (let n = 0; n < 22; n++) {
    const answer = await fetch(`${up.url}/images/job-${n}`, { method: 'PUT', body: Buffer.from('no picture') });
    assert.equal(answer.status, 200);
  }
  for (let known = 0; known < 22; ) {
    const { jobs } = await up.json('/jobs?limit=100&status=FAILED');
    known = jobs.length;
  }
  const tab = await Tab.open(browser, up.url, { ages: [80] });
  const items = tab.page.locator('#list li');
  await items.nth(19).waitFor();
  assert.equal(await items.count(), 20);
  await tab.says('#list li:first-child', 'This picture cannot be used');
  await tab.page.getByRole('button', { name: 'Show more' }).click();
  await items.nth(21).waitFor();
  assert.equal(await tab.page.getByRole('button', { name: 'Show more' }).isVisible(), false);
  await tab.close();
});

scenario('a running job survives a reload', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [80] });
  up.hold();
  await tab.choose('portrait.png');
  await tab.says('.steps [aria-current]', 'Working');
  const { id } = tab;
  await tab.page.reload();
  await tab.says('.steps [aria-current]', 'Working');
  await tab.says('#viewer-id', id);
  up.release();
  assert.equal(await tab.pictures(), id);
  // A reload opens a finished portrait again.
  await tab.page.reload();
  assert.equal(await tab.pictures(), id);
  await tab.close();
});

test('a running job survives a restart of the server', async () => {
  let up = await Up.start();
  try {
    const tab = await Tab.open(browser, up.url, { ages: [80] });
    up.hold();
    await tab.choose('portrait.png');
    await tab.says('.steps [aria-current]', 'Working');
    const { id } = tab;
    assert.deepEqual(tab.complaints, []);
    await up.kill();
    await tab.says('#message', 'The pipeline cannot be reached. Trying again.');
    await tab.look('unreachable');
    up = await Up.start(up.folder, up.port);
    assert.equal(await tab.pictures(), id);
    await tab.page.waitForFunction(() => document.getElementById('earlier-message').textContent === '');
    // The browser reports failed requests. There must be no other errors.
    const others = tab.complaints.filter((text) => !/net::ERR_(CONNECTION|EMPTY|SOCKET|INCOMPLETE)/.test(text));
    assert.deepEqual(others, []);
    tab.complaints = [];
    await tab.close();
  } catch (error) {
    error.message += await Tab.state(up);
    throw error;
  } finally {
    await up.stop();
  }
});

scenario('an upload is repeated after a lost connection', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [80] });
  await tab.page.route('**/images/**', (route) => route.abort());
  await tab.choose('portrait.png');
  await tab.says('#message', 'The connection was lost. Trying again.');
  await tab.says('.steps [aria-current]', 'Uploading');
  await tab.page.unroute('**/images/**');
  await tab.pictures();
  tab.complaints = tab.complaints.filter((text) => !text.includes('net::ERR_FAILED'));
  await tab.close();
});

scenario('a photograph waits until the addresses of the APIs are known', async (up) => {
  const tab = await Tab.open(browser, 'about:blank', { path: '', ages: [80] });
  let known;
  const later = new Promise((resolve) => (known = resolve));
  await tab.page.route('**/config.json', async (route) => {
    await later;
    await route.continue();
  });
  await tab.page.goto(up.url);
  await tab.choose('portrait.png');
  known();
  await tab.pictures();
  await tab.close();
});

scenario('a cancelled upload is aborted', async (up) => {
  const tab = await Tab.open(browser, up.url);
  const { page } = tab;
  let held;
  await page.route('**/images/**', (route) => (held = route));
  await tab.choose('portrait.png');
  await tab.says('.steps [aria-current]', 'Uploading');
  const failed = page.waitForEvent('requestfailed');
  await page.locator('#cancel').click();
  assert.equal((await failed).method(), 'PUT');
  await tab.says('#earlier-message', 'None yet');
  await tab.says('#status', 'is gone');
  await page.waitForFunction(() => document.activeElement.id === 'new');
  await held.continue().catch(() => {});
  assert.deepEqual((await up.json('/jobs')).jobs, []);
  await tab.close();
});

scenario('refused pictures are requested again', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [20, 80] });
  await tab.page.route('**/images/**/2.jpg', (route) => route.fulfill({ status: 404, json: { message: 'there is nothing' } }));
  await tab.choose('portrait.png');
  await tab.says('.steps [aria-current]', 'Done');
  await tab.says('#failed-title', 'The pictures cannot be shown');
  await tab.says('#failed-why', 'There is nothing.');
  await tab.look('no-pictures');
  await tab.page.unroute('**/images/**/2.jpg');
  await tab.page.getByRole('button', { name: 'Try again' }).click();
  await tab.pictures();
  assert.ok(tab.complaints.every((text) => text.includes('404')), String(tab.complaints));
  tab.complaints = [];
  await tab.close();
});

scenario('the page works without browser storage', async (up) => {
  const tab = await Tab.open(browser, 'about:blank', { path: '' });
  await tab.page.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage']) {
      Object.defineProperty(window, name, { get: () => { throw new DOMException('denied', 'SecurityError'); } });
    }
  });
  await tab.page.goto(up.url);
  await tab.page.getByLabel('90').check();
  await tab.choose('portrait.png');
  const id = await tab.pictures();
  assert.deepEqual((await up.json(`/jobs/${id}`)).ages, [20, 40, 60, 80, 90]);
  await tab.close();
});

scenario('photographs are pasted and dropped', async (up) => {
  const tab = await Tab.open(browser, up.url, { ages: [80] });
  const bytes = readFileSync(fixture('portrait.png')).toString('base64');
  for (const [type, kind, at] of [['paste', 'ClipboardEvent', 'clipboardData'], ['drop', 'DragEvent', 'dataTransfer']]) {
    await tab.page.goto(`${up.url}/#/`);
    await tab.page.evaluate(({ type, kind, at, bytes }) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], `${type}.png`));
      document.body.dispatchEvent(new window[kind](type, { [at]: transfer, bubbles: true, cancelable: true }));
    }, { type, kind, at, bytes });
    await tab.page.waitForURL(new RegExp(`#/${type}-`));
    await tab.pictures();
  }
  await tab.close();
});

scenario('a photograph is taken with the camera', async (up) => {
  const args = ['--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${fixture('portrait.mjpeg')}`];
  const camera = await browse({ args });
  try {
    for (const size of ['small', 'large']) {
      const tab = await Tab.open(camera, up.url, { size, ages: [80], permissions: ['camera'] });
      await tab.page.locator('#camera').click();
      await tab.says('#shooting-message', 'Look at the camera');
      await tab.look('camera');
      await tab.page.locator('#shoot').click();
      await tab.page.waitForURL(/#\/camera-/);
      await tab.pictures();
      await tab.close();
    }
    // The camera is not allowed.
    const tab = await Tab.open(camera, up.url, { permissions: [] });
    await tab.page.locator('#camera').click();
    await tab.says('#shooting-message', /This page may not use the camera|There is no camera here/);
    await tab.page.locator('#shooting-close').click();
    assert.equal(await tab.page.locator('#shooting').isVisible(), false);
    await tab.close();
  } finally {
    await camera.close();
  }
});

scenario('the sample is sent', async (up) => {
  const tab = await Tab.open(browser, up.url, { size: 'small', ages: [80] });
  await tab.page.getByRole('button', { name: 'Take the sample' }).click();
  assert.match(await tab.pictures(), /^astronaut-/);
  await tab.close();
});

scenario('a missing portrait is named', async (up) => {
  const tab = await Tab.open(browser, up.url, { path: '/#/nobody' });
  await tab.says('#refused', 'There is no portrait nobody');
  assert.equal(tab.id, '');
  assert.equal(await tab.page.evaluate(() => history.length), 2, 'the missing portrait has a history entry');
  // The browser reports the 404.
  assert.ok(tab.complaints.every((text) => text.includes('404')), String(tab.complaints));
  tab.complaints = [];
  await tab.close();
});

/** Runs a test with an HTTP server that answers with `answer`. */
async function serving(answer, run) {
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await run(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const TYPES = { html: 'text/html', js: 'text/javascript', avif: 'image/avif', png: 'image/png', ico: 'image/x-icon', json: 'application/json', css: 'text/css', svg: 'image/svg+xml', jpg: 'image/jpeg' };

/** A static host of the page, below a path, with these addresses of the APIs. */
const hosting = (config) => (request, response) => {
  const name = request.url.replace('/portraits/', '') || 'index.html';
  if (name === 'config.json') return response.end(JSON.stringify(config));
  response.setHeader('content-type', TYPES[name.split('.')[1]]);
  return response.end(readFileSync(join(SITE, name)));
};

/** A gateway before an `up` that refuses requests without a token. If `silent`, other origins cannot read its refusals. */
const guarding = (up, { silent = false } = {}) => async (request, response) => {
  const cors = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'authorization,content-type', 'access-control-allow-methods': '*' };
  if (request.method === 'OPTIONS') return response.writeHead(204, cors).end();
  const open = !/^\/(jobs|images|uploads)/.test(request.url);
  if (!open && request.headers.authorization !== 'Bearer e30.e30.x') {
    return response.writeHead(401, { 'content-type': 'application/json', ...(silent ? {} : cors) }).end('{"message":"Unauthorized"}');
  }
  const body = [];
  for await (const part of request) body.push(part);
  const { host, origin, connection, authorization, 'sec-fetch-site': site, ...headers } = request.headers;
  const { method } = request;
  const got = await fetch(up.url + request.url, { method, headers, body: method === 'PUT' ? Buffer.concat(body) : undefined });
  response.writeHead(got.status, { 'content-type': got.headers.get('content-type') ?? 'text/plain', ...cors });
  return response.end(Buffer.from(await got.arrayBuffer()));
};

scenario('a static host elsewhere serves the page with the addresses in config.json', async (up) => {
  await serving(hosting({ restApi: `${up.url}/`, httpApi: up.url }), async (url) => {
    for (const host of [url, url.replace('127.0.0.1', 'localhost')]) {
      const tab = await Tab.open(browser, host, { path: '/portraits/', ages: [80] });
      await tab.choose('portrait.png');
      const id = await tab.pictures();
      const thumb = tab.page.locator(`#list a[href="#/${id}"] img`).first();
      assert.equal(await thumb.evaluate((image) => image.decode().then(() => image.naturalWidth)), 1024);
      await tab.pick('#viewer-more', 'Delete');
      await tab.says('#earlier-message', 'None yet');
      await tab.page.goto('about:blank');
      while ((await fetch(`${up.url}/jobs/${id}`)).status !== 404);
      await tab.close();
    }
  });
});

/** Enters a token in the dialog for it, and sends a portrait. */
async function introduced(tab) {
  await tab.says('#who-title', 'A token is needed');
  await tab.look('who');
  await tab.page.getByLabel('Token', { exact: true }).fill('e30.e30.x');
  await tab.page.keyboard.press('Enter');
  await tab.says('#earlier-message', 'None yet');
  // The browser reports refused requests. There must be no other errors.
  assert.ok(tab.complaints.every((text) => /401|CORS|ERR_FAILED/.test(text)), String(tab.complaints));
  tab.complaints = [];
  await tab.choose('portrait.png');
  const id = await tab.pictures();
  // Image elements in the list cannot send the token, so the page fetches their pictures.
  const thumb = tab.page.locator(`#list a[href="#/${id}"] img`).first();
  assert.equal(await thumb.evaluate((image) => image.decode().then(() => image.naturalWidth)), 1024);
  await tab.close();
}

scenario('a pipeline that needs a token', async (up) => {
  await serving(guarding(up), async (url) => introduced(await Tab.open(browser, url, { ages: [80] })));
});

scenario('two APIs elsewhere, one with refusals that the page cannot read', async (up) => {
  await serving(guarding(up), (restApi) =>
    serving(guarding(up, { silent: true }), (httpApi) =>
      serving(hosting({ restApi, httpApi }), async (url) => introduced(await Tab.open(browser, url, { path: '/portraits/', ages: [80] })))));
});

scenario('the page is small, has a strict policy and paints early', async (up) => {
  const answer = await fetch(up.url);
  assert.match(answer.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self'; style-src 'sha256-[^']{44}'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; /);
  const sizes = [];
  const paints = [];
  for (let round = 0; round < 5; round++) {
    const tab = await Tab.open(browser, 'about:blank', { path: '' });
    const session = await tab.page.context().newCDPSession(tab.page);
    await session.send('Network.enable');
    const urls = new Map();
    let bytes = 0;
    session.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url));
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      if (!urls.get(requestId)?.includes('/jobs')) bytes += encodedDataLength;
    });
    await tab.page.goto(up.url);
    await tab.page.waitForFunction(() => document.getElementById('list').children.length || document.getElementById('earlier-message').textContent);
    const origins = new Set([...urls.values()].map((url) => new URL(url).origin));
    assert.deepEqual([...origins], [up.url], 'files come from other origins');
    sizes.push(bytes);
    const paint = await tab.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime);
    paints.push(Math.round(paint));
    if (round === 0) {
      // The rest comes with the first portrait, even if it has failed.
      await fetch(`${up.url}/images/none`, { method: 'PUT', body: Buffer.from('no picture') });
      await tab.page.locator('#list a').click();
      await tab.says('#failed-title', 'This picture cannot be used');
      sizes.push(bytes);
    }
    await tab.close();
  }
  const [first, whole] = sizes;
  assert.ok(first > 10_000 && first < 50_000 && whole < 60_000, `${first}, ${whole} bytes`);
  console.log(`the page: ${first} bytes, ${whole} with an open portrait, first contentful paint after ${paints.join(', ')} ms`);
});
