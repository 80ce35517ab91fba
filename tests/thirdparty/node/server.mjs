// An authorization server that nobody here wrote: oidc-provider, in a process of its own.
//
// `node server.mjs CONFIGURATION` prints its base URL, and ends when its standard input does.

import { createServer } from 'node:http';

console.info = console.warn = () => {}; // it has advice for production
const { Provider } = await import('oidc-provider');

const configuration = JSON.parse(process.argv[2]);
const client = {
  client_secret: configuration.secret,
  redirect_uris: [configuration.redirect_uri],
  grant_types: ['authorization_code', 'refresh_token'],
};
const machine = {
  client_id: configuration.machine,
  client_secret: configuration.secret,
  redirect_uris: [],
  response_types: [],
  grant_types: ['client_credentials'],
};

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    ...Object.entries(configuration.clients).map(([method, id]) => ({
      ...client, client_id: id, token_endpoint_auth_method: method,
    })),
    machine,
  ],
  routes: {
    authorization: '/authorize',
    token: '/token',
    userinfo: '/userinfo',
    revocation: '/revoke',
    introspection: '/introspect',
  },
  scopes: ['openid', 'offline_access', 'email', 'read', 'write'],
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@third.example` }) }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: configuration.life, ClientCredentials: configuration.life },
  cookies: { keys: ['CANARY-cookies'] },
});

// A test that finds this word in a page or a log has found a secret.
for (const kind of [provider.AccessToken, provider.RefreshToken, provider.ClientCredentials, provider.AuthorizationCode]) {
  const own = kind.prototype.generateTokenId;
  kind.prototype.generateTokenId = function generateTokenId() {
    return `CANARY-${own.call(this)}`;
  };
}

const asked = [];
provider.use(async (ctx, next) => {
  if (ctx.path === '/asked') {
    ctx.body = asked;
    return;
  }
  await next();
  if (ctx.path === '/token') {
    const inBody = ctx.oidc.body.client_secret ? 'client_secret_post' : 'none';
    asked.push(ctx.headers.authorization ? 'client_secret_basic' : inBody);
  }
});

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit()).resume();
console.log(issuer);
