// An OAuth client of somebody else: discovery, a token, its use, its end. Reads what to do as JSON
// on stdin; answers with JSON on stdout. Nothing here knows our code.
import { readFileSync } from 'node:fs'
import * as oauth from 'oauth4webapi'

const task = JSON.parse(readFileSync(0, 'utf8'))
const options = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(task.issuer)
const params = { ES256: { name: 'ECDSA', namedCurve: 'P-256' }, ES384: { name: 'ECDSA', namedCurve: 'P-384' }, EdDSA: { name: 'Ed25519' } }

const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options }),
)
const client = { client_id: task.client_id }
const key = await crypto.subtle.importKey('jwk', task.jwk, params[task.alg], false, ['sign'])
// SMART asks for the type; RFC 7523 leaves it open
const authentication = oauth.PrivateKeyJwt({ key, kid: task.jwk.kid }, {
  [oauth.modifyAssertion]: (header) => { header.typ = 'JWT'; if (task.alg === 'EdDSA') header.alg = 'EdDSA' },
})

let DPoP
if (task.dpop) {
  DPoP = oauth.DPoP(client, await oauth.generateKeyPair(task.dpop))
}

// a server may ask for its nonce first: the library remembers it and tries again
const retried = async (attempt) => {
  try {
    return await attempt()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return attempt()
  }
}

const token = await retried(async () => {
  const extra = { scope: task.scope, ...(task.form ?? {}) }
  if (task.grant) {
    const response = await oauth.genericTokenEndpointRequest(server, client, authentication, task.grant, extra, { DPoP, ...options })
    return oauth.processGenericTokenEndpointResponse(server, client, response)
  }
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, extra, { DPoP, ...options })
  return oauth.processClientCredentialsResponse(server, client, response)
})

const use = () => oauth.protectedResourceRequest(token.access_token, 'GET', new URL(task.resource), undefined, undefined, { DPoP, ...options })
const used = await retried(use)
const seen = await oauth.processIntrospectionResponse(
  server, client,
  await oauth.introspectionRequest(server, client, authentication, token.access_token, options),
)

// what a resource server of theirs would find in the token, with our published keys
const headers = { authorization: `${DPoP ? 'DPoP' : 'Bearer'} ${token.access_token}` }
let claims = null
if (!DPoP) {
  claims = await oauth.validateJwtAccessToken(server, new Request(task.resource, { headers }), task.issuer, options)
}

await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, token.access_token, options),
)
let after
try {
  after = (await retried(use)).status
} catch (error) {
  after = error.status ?? error.response?.status ?? String(error)
}
process.stdout.write(JSON.stringify({ token, status: used.status, seen, claims, after }))
