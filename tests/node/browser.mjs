// Goes through hosted links in a real browser, headless Chromium, and looks at each page as a person
// on a device of that size would.
//
// Usage: browser.mjs JSON
//   {name, width, height, profile, folder, resolve,
//    links: [{title, url, mistake, fields, account}], pages: {title: url}}
// `resolve` maps host names to addresses. A mistake is what is typed at first, and has to be mended. A
// link with an account goes through the provider's pages.
// Writes a picture of every page to the folder, and prints {backs: {title: url}, complaints: [text]}.

import { launch } from './chromium.mjs';

const told = JSON.parse(process.argv[2]);
const browser = await launch(told.profile, `--host-resolver-rules=${told.resolve}`);
const complaints = [];
const backs = {};

/** A new tab, which tells of all that goes wrong in it. */
async function tab() {
    const page = await browser.newPage();
    await page.setViewport({ width: told.width, height: told.height, deviceScaleFactor: 2, hasTouch: told.width < 500 });
    page.on('console', (message) => {
        // A page that says no is answered with the status of an error, which the console repeats; and
        // one header is for https alone.
        const expected = /Failed to load resource|Cross-Origin-Opener-Policy header has been ignored/;
        if (!expected.test(message.text())) complaints.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    // The product's own page is not part of this; the browser only has to arrive there.
    await page.setRequestInterception(true);
    page.on('request', (request) => {
        const { hostname, pathname } = new URL(request.url());
        if (hostname === 'product.test') {
            request.respond({ contentType: 'text/html', body: '<!doctype html><title>Back</title>' });
        } else if (pathname === '/favicon.ico') {
            request.respond({ status: 204 });
        } else {
            request.continue();
        }
    });
    return page;
}

/** What would trouble a person on this page. */
async function look(page, title) {
    const found = await page.evaluate(() => {
        const wrong = [];
        const root = document.scrollingElement;
        if (root.scrollWidth > window.innerWidth) wrong.push(`${root.scrollWidth} wide in ${window.innerWidth}`);
        if (!document.documentElement.lang) wrong.push('no language');
        if (!document.title.trim()) wrong.push('no title');
        if (document.querySelectorAll('h1').length !== 1) wrong.push('not one heading');
        if (!document.querySelector('meta[name=viewport]')) wrong.push('no viewport');
        for (const input of document.querySelectorAll('input:not([type=hidden])')) {
            if (!input.labels.length) wrong.push(`the field ${input.name} has no label`);
            if (parseFloat(getComputedStyle(input).fontSize) < 16) wrong.push(`${input.name} makes phones zoom in`);
        }
        for (const button of document.querySelectorAll('button, input[type=submit]')) {
            const { height, width } = button.getBoundingClientRect();
            if (height < 40 || width < 40) wrong.push(`a button is ${width} by ${height}`);
        }
        if (getComputedStyle(document.body).fontFamily.startsWith('"Times')) wrong.push('the style is not applied');
        return wrong;
    });
    complaints.push(...found.map((wrong) => `${title}: ${wrong}`));
    const path = (scheme) => `${told.folder}/${told.name}-${title}${scheme}.png`;
    await page.screenshot({ path: path(''), fullPage: true });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    await page.screenshot({ path: path('-dark'), fullPage: true });
    await page.emulateMediaFeatures([]);
}

/** Presses Enter or a button, and waits for the page that follows. */
async function go(page, act) {
    await Promise.all([page.waitForNavigation({ timeout: 15_000 }), act()]);
}

/** Fills in the only form, and sends it. */
async function send(page, fields) {
    for (const [name, value] of Object.entries(fields ?? {})) await page.type(`input[name=${name}]`, value);
    await go(page, () => page.click('form [type=submit], form button'));
}

for (const { title, url, mistake, fields, account } of told.links) {
    const page = await tab();
    await page.goto(url);
    await look(page, title);
    if (mistake) {
        await send(page, mistake);
        await look(page, `${title}-mistake`);
        if (!(await page.$('[role=alert]'))) complaints.push(`${title}: nothing says what was wrong`);
    }
    await send(page, fields);
    if (account) {
        if (await page.$('input[name=user]')) {
            await page.type('input[name=user]', account);
            await go(page, () => page.click('button'));
        }
        await go(page, () => page.click('button[value=yes]'));
    }
    backs[title] = page.url();
    await page.close();
}
for (const [title, url] of Object.entries(told.pages)) {
    const page = await tab();
    await page.goto(url);
    await look(page, title);
    await page.close();
}
await browser.close();
console.log(JSON.stringify({ backs, complaints }));
