// openid-client, an OAuth client that nobody here wrote: discovery, code with PKCE, refresh, introspection, revocation, and
// client credentials. It prints where a person must go, reads where that person came back to, and prints what came of it.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const { base_url, client_id, client_secret, redirect_uri, scope } = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const configuration = await client.discovery(new URL(base_url), client_id, client_secret, undefined, {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});
const code_verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const asked = client.buildAuthorizationUrl(configuration, {
  redirect_uri,
  scope,
  state,
  code_challenge: await client.calculatePKCECodeChallenge(code_verifier),
  code_challenge_method: "S256",
});
console.log(asked.href);

const back = new URL((await lines.next()).value);
const checks = { pkceCodeVerifier: code_verifier, expectedState: state };
const tokens = await client.authorizationCodeGrant(configuration, back, checks);
const userinfo = await client.fetchUserInfo(configuration, tokens.access_token, client.skipSubjectCheck);
const refreshed = await client.refreshTokenGrant(configuration, tokens.refresh_token);
const active = await client.tokenIntrospection(configuration, refreshed.access_token);
await client.tokenRevocation(configuration, refreshed.refresh_token);
const revoked = await client.tokenIntrospection(configuration, refreshed.access_token);
const own = await client.clientCredentialsGrant(configuration, { scope: "links:read" });
let refused = "";
try {
  await client.refreshTokenGrant(configuration, refreshed.refresh_token);
} catch (error) {
  refused = error.error;
}
console.log(JSON.stringify({ scope: tokens.scope, name: userinfo.name, active, revoked, own: own.scope, refused }));
process.exit(0);
