// A real browser: Debian's Chromium, without a window, with an empty profile.

import puppeteer from 'puppeteer-core';

/** Starts it with the profile in this folder, and with more arguments of its command line. */
export function launch(profile, ...more) {
    return puppeteer.launch({
        executablePath: '/usr/bin/chromium',
        userDataDir: profile,
        args: [
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            ...more,
        ],
    });
}
