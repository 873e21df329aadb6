// A real `up`, a real browser, and the observations of the tests.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const { BINARY, CHROMIUM, FIXTURES, SCREENSHOTS } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** How long any step may take before a test fails, in milliseconds. */
const PATIENCE = 60_000;
/** Options that keep Chromium from requests to the internet. */
const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
export const SIZES = { small: { width: 320, height: 640 }, large: { width: 1440, height: 900 } };
/** The windows in which every state is looked at. */
const WINDOWS = [[320, 640], [768, 1024], [1440, 900], [2560, 1440]];

mkdirSync(SCREENSHOTS, { recursive: true });

export const fixture = (name) => join(FIXTURES, name);

/** `time-traveler up` on a temporary folder. */
export class Up {
  /** The lines of its log. */
  hops = [];

  static async start(folder = mkdtempSync(join(tmpdir(), 'page-')), port = 0, further = []) {
    const up = new Up();
    up.folder = folder;
    const options = ['up', '--port', port, '--aws-port', '0', '--json', '--data', folder, ...further];
    up.process = spawn(BINARY, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface(up.process.stderr).on('line', (line) => up.hops.push(line));
    up.ended = new Promise((resolve) => up.process.once('exit', resolve));
    const ready = new Promise((resolve) => createInterface(up.process.stdout).once('line', resolve));
    const line = await Promise.race([ready, up.ended.then((code) => assert.fail(`up ended with ${code}`))]);
    up.url = JSON.parse(line).api;
    return up;
  }

  get port() {
    return new URL(this.url).port;
  }

  /** The process ids of the model server. */
  #servers() {
    const listed = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(this.process.pid)], { encoding: 'utf8' });
    const lines = listed.split('\n').map((line) => line.trim().split(/\s+/));
    return lines.filter(([, name]) => name === 'serve').map(([pid]) => Number(pid));
  }

  /** Pauses the model server, so that jobs stay unfinished. */
  hold() {
    const servers = this.#servers();
    assert.equal(servers.length, 1);
    servers.forEach((pid) => process.kill(pid, 'SIGSTOP'));
  }

  release() {
    this.#servers().forEach((pid) => process.kill(pid, 'SIGCONT'));
  }

  /** Kills the process as `kill -9` does. */
  async kill() {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async json(path) {
    return (await fetch(this.url + path)).json();
  }
}

export async function browse(options = {}) {
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGUMENTS, ...(options.args ?? [])] });
}

/** A browser tab with the page, and the errors in it. */
export class Tab {
  /** The errors and warnings of the console and the page. */
  complaints = [];
  static #last = null;

  /** The last state of the page, for the message of a failed test. */
  static async state(up) {
    const { page, complaints } = Tab.#last;
    if (page.isClosed()) return `\ncomplaints: ${complaints}\n${up.hops.join('\n')}`;
    await page.screenshot({ path: join(SCREENSHOTS, 'failed.png'), fullPage: true });
    const jobs = JSON.stringify(await up.json('/jobs').catch(String));
    return `\nat ${page.url()}: ${await page.innerText('main')}\ncomplaints: ${complaints}\njobs: ${jobs}\n${up.hops.join('\n')}`;
  }

  /**
   * Opens the page. Nothing moves by itself, unless `reducedMotion` says otherwise. `ages` are those to choose; fewer take less
   * time.
   */
  static async open(browser, url, { size = 'large', path = '/', ages = null, ...options } = {}) {
    const tab = new Tab();
    Tab.#last = tab;
    tab.size = size;
    const context = await browser.newContext({ viewport: SIZES[size], hasTouch: size === 'small', reducedMotion: 'reduce', ...options });
    context.setDefaultTimeout(PATIENCE);
    tab.page = await context.newPage();
    if (ages) await tab.page.addInitScript((ages) => location.protocol === 'about:' || localStorage.setItem('ages', JSON.stringify(ages)), ages);
    tab.page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) tab.complaints.push(message.text());
    });
    tab.page.on('pageerror', (error) => tab.complaints.push(String(error)));
    await tab.page.goto(url + path);
    return tab;
  }

  async close() {
    await this.page.context().close();
    assert.deepEqual(this.complaints, []);
  }

  /**
   * Checks this state of the page with axe-core, in light and dark mode, and saves screenshots. A tab of the large size does so in
   * windows of four sizes. Nothing may be wider than the window, and what can be pressed has at least 44 pixels each way.
   */
  async look(name) {
    const { page } = this;
    const windows = this.size === 'large' ? WINDOWS : [Object.values(SIZES.small)];
    for (const [width, height] of windows) {
      await page.setViewportSize({ width, height });
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(SCREENSHOTS, `${name}-${width}${this.size === 'small' ? '-touch' : ''}-${colorScheme}.png`), fullPage: true });
        // The colours are the same in every window, and the narrow and the wide one have all arrangements.
        if (![320, 1440].includes(width)) continue;
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
        const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`);
        assert.deepEqual(found, [], `${name}, ${width} pixels, ${colorScheme}`);
      }
      const { scrolled, tight } = await page.evaluate(() => {
        const targets = [...document.querySelectorAll('a, button, label.button, input:not([type="file"])')].filter((element) => element.checkVisibility());
        const size = (element) => element.getBoundingClientRect();
        const small = targets.filter((element) => Math.min(size(element).width, size(element).height) < 43.9);
        return { scrolled: document.documentElement.scrollWidth, tight: small.map(({ outerHTML }) => outerHTML.slice(0, 120)) };
      });
      assert.ok(scrolled <= width, `${name}: ${scrolled} pixels wide in a window of ${width}`);
      assert.deepEqual(tight, [], `${name}: targets below 44 pixels in a window of ${width}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize(SIZES[this.size]);
  }

  /** Opens the menu of a button, and takes an item of it. */
  async pick(button, item) {
    await this.page.locator(button).click();
    await this.page.getByRole('menuitem', { name: item }).click();
  }

  async choose(...names) {
    await this.page.setInputFiles('#choose', names.map(fixture));
  }

  /** Waits for the pictures, and returns the portrait's id. */
  async pictures() {
    await this.page.locator('#result').waitFor();
    return this.id;
  }

  get id() {
    return new URL(this.page.url()).hash.slice(2);
  }

  async text(selector) {
    return (await this.page.locator(selector).innerText()).trim();
  }

  async says(selector, words) {
    await this.page.locator(selector).filter({ hasText: words }).waitFor();
  }

  /** The opacity of every picture on the stage, once the transition has ended. */
  async shown() {
    return this.page.evaluate(async () => {
      const images = [...document.querySelectorAll('#picture img:not(.original)')];
      const state = () => images.map(({ style }) => (style.visibility === 'hidden' ? 0 : Number(style.opacity))).join();
      for (let before = null, same = 0; same < 3; ) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
        same = state() === before ? same + 1 : 0;
        before = state();
      }
      return state().split(',').map((opacity) => Math.round(Number(opacity) * 100) / 100);
    });
  }
}
