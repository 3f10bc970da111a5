// Adds a bearer token to every request to one origin, for programs that know no option for it:
//
//   TEST_BEARER=… TEST_BEARER_ORIGIN=http://127.0.0.1:8080 NODE_OPTIONS=--import=…/bearer.mjs …
//
// It listens where Node announces requests, rather than in place of `fetch`, because programs also
// send by node:http and by the package undici. A request that says who it is stays as it is.

import { subscribe } from 'node:diagnostics_channel';

const { TEST_BEARER: token, TEST_BEARER_ORIGIN: origin } = process.env;
const authorization = `Bearer ${token}`;

if (token && origin) {
  subscribe('undici:request:create', ({ request }) => {
    if (String(request.origin) === origin && !/^authorization:/im.test(lines(request.headers))) {
      request.addHeader('authorization', authorization);
    }
  });
  subscribe('http.client.request.created', ({ request }) => {
    const asked = `${request.protocol}//${request.getHeader('host')}`;
    if (asked === origin && !request.hasHeader('authorization')) {
      request.setHeader('authorization', authorization);
    }
  });
}

// A list of names and values in newer versions of undici, and text in older ones.
function lines(headers) {
  if (!Array.isArray(headers)) return String(headers ?? '');
  return headers.map((part, index) => (index % 2 === 0 ? `${part}:` : `${part}\n`)).join('');
}
