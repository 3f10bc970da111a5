// An authorization server for tests: oidc-provider with PKCE, rotating refresh tokens, resource
// indicators with signed access tokens (RFC 8707, RFC 9068), revocation (RFC 7009) and, if wanted,
// dynamic client registration (RFC 7591) or client ID metadata documents. People log in with any name and consent on plain pages.
//
// Usage: authorization_server.mjs --resource URL [--lifetime SECONDS] [--registration] [--no-renewal]
//     [--client ID --secret SECRET --redirect URI] [--documents]
// Listens on a free port of 127.0.0.1, prints its URL, and ends when its input does.
//
// Under /test is a side door, which observes the server and breaks it, and does nothing else:
//   GET  /test/record       requests for tokens, revocations, authorizations, registrations, clients'
//                           documents that were fetched, and every token that was given out
//   POST /test/forget-user  {"user"}: their refresh tokens are good no more
//   POST /test/documents    {"of", "at"}: clients' documents at addresses that begin with "of" are had
//                           from "at", where there is no proxy in front that speaks TLS
//   POST /test/breakage     {"grant", "manner", "times", "milliseconds"}: what becomes of the next
//                           requests of a grant type, or without one of the next revocations: "refuse" (400), "fail" (503), "delay" or "kill"
//                           (the answer to one that was carried out comes late, or never)

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { parse } from 'node:querystring';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Provider } from 'oidc-provider';

const { values: told } = parseArgs({
    options: {
        resource: { type: 'string' },
        lifetime: { type: 'string', default: '3600' },
        registration: { type: 'boolean', default: false },
        'no-renewal': { type: 'boolean', default: false },
        client: { type: 'string' },
        secret: { type: 'string' },
        redirect: { type: 'string' },
        documents: { type: 'boolean', default: false },
    },
});
const SCOPES = ['notes.read', 'notes.write'];

// What the provider keeps. It judges by itself what has expired.
const kept = new Map();
class Store {
    constructor(kind) {
        this.kind = kind;
    }
    entries = () => [...kept].filter(([key]) => key.startsWith(`${this.kind}:`));
    upsert = async (id, payload) => void kept.set(`${this.kind}:${id}`, payload);
    find = async (id) => kept.get(`${this.kind}:${id}`);
    findByUid = async (uid) => this.entries().find(([, payload]) => payload.uid === uid)?.[1];
    consume = async (id) => {
        kept.get(`${this.kind}:${id}`).consumed = Math.floor(Date.now() / 1000);
    };
    destroy = async (id) => void kept.delete(`${this.kind}:${id}`);
    revokeByGrantId = async (grant) => {
        for (const [key, payload] of this.entries()) if (payload.grantId === grant) kept.delete(key);
    };
}

const record = { tokens: [], revocations: [], authorizations: [], registrations: 0, documents: [], given_out: [] };
let breakage = { times: 0 };
let documents = { of: '', at: '' };

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const provider = new Provider(issuer, {
    adapter: Store,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: told.client
        ? [
              {
                  client_id: told.client,
                  client_secret: told.secret,
                  redirect_uris: [told.redirect],
                  grant_types: ['authorization_code', 'refresh_token'],
              },
          ]
        : [],
    scopes: ['openid', 'offline_access', ...SCOPES],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) =>
        !told['no-renewal'] && client.grantTypeAllowed('refresh_token'),
    findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    fetch: (url, { dispatcher, ...options }) => {
        record.documents.push(String(url));
        return fetch(String(url).replace(documents.of, documents.at), options);
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
        devInteractions: { enabled: false },
        registration: { enabled: told.registration },
        clientIdMetadataDocument: { enabled: told.documents, ack: 'draft-02' },
        revocation: { enabled: true },
        resourceIndicators: {
            enabled: true,
            useGrantedResource: () => true,
            getResourceServerInfo: (ctx, resource) => {
                if (resource !== told.resource) throw new Error(`unknown resource ${resource}`);
                return {
                    scope: SCOPES.join(' '),
                    audience: resource,
                    accessTokenTTL: Number(told.lifetime),
                    accessTokenFormat: 'jwt',
                    jwt: { sign: { alg: 'ES256' } },
                };
            },
        },
    },
});

const escaped = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const page = (title, form) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><h1>${title}</h1><form method="post">${form}</form></html>`;

/** The pages on which a person logs in and says yes or no. */
async function interaction(ctx) {
    const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
    if (ctx.method === 'GET') {
        ctx.body =
            prompt.name === 'login'
                ? page('Sign in', '<label>Name <input name="user" required></label> <button>Sign in</button>')
                : page(
                      'Allow access?',
                      `<p>${escaped(params.client_id)} asks ${escaped(session.accountId)} for ${escaped(params.scope ?? '')}</p>
                       <button name="answer" value="yes">Allow</button> <button name="answer" value="no">Deny</button>`,
                  );
        return;
    }
    const form = parse(await body(ctx.req));
    let result = { error: 'access_denied', error_description: 'the person said no' };
    if (prompt.name === 'login') {
        result = { login: { accountId: form.user } };
    } else if (form.answer === 'yes') {
        const known = grantId && (await provider.Grant.find(grantId));
        const grant = known || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
        if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
        for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
            grant.addResourceScope(resource, scopes.join(' '));
        }
        result = { consent: { grantId: await grant.save() } };
    }
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: true }));
    ctx.status = 303;
}

async function body(request) {
    let text = '';
    for await (const chunk of request) text += chunk;
    return text;
}

async function sideDoor(ctx) {
    const asked = ctx.method === 'POST' ? JSON.parse(await body(ctx.req)) : undefined;
    ctx.body = record;
    if (ctx.path === '/test/forget-user') {
        for (const [key, payload] of kept) {
            if (key.startsWith('RefreshToken:') && payload.accountId === asked.user) kept.delete(key);
        }
    } else if (ctx.path === '/test/documents') {
        documents = asked;
    } else if (ctx.path === '/test/breakage') {
        breakage = { times: 1, milliseconds: 0, ...asked };
    }
}

provider.use(async (ctx, next) => {
    if (ctx.path.startsWith('/test/')) return sideDoor(ctx);
    if (ctx.path.startsWith('/interaction/')) return interaction(ctx);
    if (ctx.path === '/auth') record.authorizations.push({ ...ctx.query });
    if (ctx.method !== 'POST' || !ctx.path.startsWith('/token')) {
        await next();
        if (ctx.path === '/reg' && ctx.status === 201) record.registrations += 1;
        return;
    }
    ctx.request.body = await body(ctx.req);
    const form = parse(ctx.request.body);
    const { client_secret: secret, ...asked } = form;
    const entry = { ...asked, secret_in_body: secret !== undefined, basic: Boolean(ctx.get('authorization')) };
    record[ctx.path === '/token' ? 'tokens' : 'revocations'].push(entry);
    const breaks = form.grant_type === breakage.grant && breakage.times-- > 0 ? breakage : {};
    if (breaks.manner === 'refuse' || breaks.manner === 'fail') {
        ctx.status = breaks.manner === 'refuse' ? 400 : 503;
        ctx.body = { error: breaks.manner === 'refuse' ? 'invalid_grant' : 'temporarily_unavailable' };
    } else {
        await next();
    }
    entry.status = ctx.status;
    for (const name of ['access_token', 'refresh_token']) {
        if (ctx.body?.[name]) record.given_out.push(ctx.body[name]);
    }
    if (breaks.manner === 'delay') await sleep(breaks.milliseconds);
    if (breaks.manner === 'kill') ctx.req.socket.destroy();
});

server.on('request', provider.callback());
console.log(issuer);
// Nobody reads on: what the provider has to say goes where errors go.
console.info = console.warn;
process.stdin.on('end', () => process.exit()).resume();
