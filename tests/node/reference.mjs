// Looks at the pages of the reference in a real browser, headless Chromium.
//
// Usage: reference.mjs JSON
//   {url, profile, picture, operation, key, tried}
// Opens the page, opens an operation, tries another one with the key, and prints
// {operations, answers, tried, complaints}.

import { launch } from './chromium.mjs';

const told = JSON.parse(process.argv[2]);
const browser = await launch(told.profile);
const complaints = [];
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 1600 });
page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(`console: ${message.text()}`);
});
page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== 'data:' && host !== new URL(told.url).host) complaints.push(`elsewhere: ${request.url()}`);
});

await page.goto(told.url);
await page.waitForSelector('.opblock', { timeout: 20_000 });
const operations = await page.$$eval('.opblock', (blocks) => blocks.length);
await page.click(`#operations-${told.operation} .opblock-summary-control`);
await page.waitForSelector(`#operations-${told.operation} .responses-table`, { timeout: 20_000 });
const answers = await page.$$eval(`#operations-${told.operation} .response-col_status`, (cells) =>
    cells.map((cell) => cell.textContent.trim()).filter((text) => /^\d+$/.test(text)),
);
await page.screenshot({ path: told.picture });

await page.click('.auth-wrapper .authorize');
await page.type('.modal-ux input', told.key);
await page.click('.modal-ux .authorize');
await page.click('.modal-ux .btn-done');
await page.click(`#operations-${told.tried} .opblock-summary-control`);
await (await page.waitForSelector(`#operations-${told.tried} .try-out__btn`)).click();
await (await page.waitForSelector(`#operations-${told.tried} .execute`)).click();
const live = `#operations-${told.tried} .live-responses-table .response .response-col_status`;
const answered = await page.waitForSelector(live, { timeout: 20_000 });
const tried = await answered.evaluate((cell) => cell.textContent.trim());
await browser.close();
console.log(JSON.stringify({ operations, answers, tried, complaints }));
