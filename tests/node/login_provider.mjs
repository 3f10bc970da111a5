// A real OpenID Connect provider, for people who bring their own login. It listens on a free port of
// the loopback interface and prints its issuer. Access tokens come from its token endpoint, by the
// grant client_credentials with a resource (RFC 8707); the claim `email` is the `user` of the request.
//
// Beside the provider, for tests alone: POST /forge signs whatever it is told to, with the provider's
// own key; POST /rotate replaces all keys; GET /asked says how often the keys were asked for.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

let issuer;
let keys;
let provider;
let asked = 0;
let generation = 0;

function newKeys() {
  generation += 1;
  const private_jwk = (pair, kid, alg) => ({ ...pair.privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  keys = [
    private_jwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }), `ec-${generation}`, 'ES256'),
    private_jwk(generateKeyPairSync('rsa', { modulusLength: 2048 }), `rsa-${generation}`, 'RS256'),
  ];
  provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{
      client_id: 'agent',
      client_secret: 'a-secret-for-tests',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    }],
    scopes: ['tools'],
    ttl: { ClientCredentials: (ctx) => Number(ctx.oidc.body.ttl ?? 300) },
    extraTokenClaims: (ctx) => ({ email: ctx.oidc.body.user }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'tools',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: ctx.oidc.body.alg ?? 'ES256' } },
        }),
      },
    },
  });
}

const base64url = (value) => Buffer.from(value).toString('base64url');

// The public key as PEM is what a confused verifier would take for a shared secret.
function forge({ header, claims }) {
  const key = keys.find((known) => known.alg === header.alg) ?? keys[1];
  const private_key = createPrivateKey({ key, format: 'jwk' });
  const input = [{ kid: key.kid, ...header }, claims].map((part) => base64url(JSON.stringify(part))).join('.');
  const signature = {
    none: () => '',
    HS256: () => {
      const secret = createPublicKey(private_key).export({ format: 'pem', type: 'spki' });
      return createHmac('sha256', secret).update(input).digest('base64url');
    },
  }[header.alg] ?? (() => sign('sha256', input, { key: private_key, dsaEncoding: 'ieee-p1363' }).toString('base64url'));
  return `${input}.${signature()}`;
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString() || '{}');
}

const server = createServer(async (request, response) => {
  if (request.url === '/jwks') asked += 1;
  if (request.url === '/asked') return response.end(String(asked));
  if (request.url === '/forge') return response.end(forge(await body(request)));
  if (request.url === '/rotate') {
    newKeys();
    return response.end();
  }
  return provider.callback()(request, response);
});

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  newKeys();
  console.log(issuer);
});
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
