// Node's HTTP clients (http, fetch, undici) and ws, client and server, against the server of serve.go.
import http from 'node:http'
import { Agent, request, pipeline } from 'undici'
import { WebSocket, WebSocketServer } from 'ws'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'

const url = process.argv[2], wsPort = Number(process.argv[3])
const big = Buffer.alloc(1 << 20, '0123456789abcdef')
const cases = []
const test = (name, f) => cases.push([name, f])
const sha = b => createHash('sha256').update(b).digest('hex')

const call = (path, { body, ...o } = {}) => new Promise((resolve, reject) => {
  const q = http.request(url + path, o, r => {
    const parts = []
    r.on('data', d => parts.push(d)).on('error', reject)
    r.on('end', () => resolve({ status: r.statusCode, headers: r.headers, trailers: r.trailers, body: Buffer.concat(parts) }))
  }).on('error', reject)
  q.end(body)
})
const json = async (...a) => JSON.parse((await call(...a)).body)

test('http/keep-alive', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 5 })
  await Promise.all(Array.from({ length: 200 }, async (_, i) => assert.equal((await json(`/echo?n=${i}`, { agent })).query, `n=${i}`)))
  agent.destroy()
})
test('http/no-keep-alive', async () => {
  for (let i = 0; i < 30; i++) assert.equal((await call('/', { agent: false })).status, 200)
})
test('http/chunked-upload', async () => assert.equal((await json('/echo', { method: 'POST', body: big })).length, big.length))
test('http/expect-continue', () => new Promise((resolve, reject) => {
  const q = http.request(url + '/echo', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': big.length } }, r => {
    assert.ok(continued)
    r.resume().on('end', resolve)
  }).on('error', reject)
  let continued = false
  q.on('continue', () => { continued = true; q.end(big) })
  q.flushHeaders()
}))
test('http/early-hints', () => new Promise((resolve, reject) => {
  let hints = 0
  http.get(url + '/hints', r => r.resume().on('end', () => { assert.equal(hints, 2); resolve() }))
    .on('information', i => { hints += i.statusCode === 103 }).on('error', reject)
}))
test('http/trailers', async () => assert.equal((await call('/trailers')).trailers['x-sum'], '42'))
test('http/abort', () => new Promise((resolve, reject) => {
  const q = http.get(url + '/slow', reject).on('error', e => e.code === 'ECONNRESET' ? resolve() : reject(e))
  setTimeout(() => q.destroy(), 50)
}))
test('fetch/get', async () => assert.equal((await (await fetch(url + '/echo?a=b')).json()).query, 'a=b'))
test('fetch/stream-upload', async () => {
  const body = new ReadableStream({ start (c) { for (let i = 0; i < 16; i++) c.enqueue(big.subarray(0, 65536)); c.close() } })
  assert.equal((await (await fetch(url + '/echo', { method: 'POST', body, duplex: 'half' })).json()).length, 16 * 65536)
})
test('undici/pipelining', async () => {
  const dispatcher = new Agent({ connections: 2, pipelining: 10 })
  await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const r = await request(`${url}/echo?n=${i}`, { dispatcher })
    assert.equal((await r.body.json()).query, `n=${i}`)
  }))
  await dispatcher.close()
})
test('undici/download', async () => assert.equal((await (await request(url + '/bytes/5000000')).body.arrayBuffer()).byteLength, 5000000))

for (const deflate of [false, true]) {
  const name = deflate ? 'ws/deflate' : 'ws/plain'
  test(name, () => new Promise((resolve, reject) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: wsPort, perMessageDeflate: deflate }, () => {
      const c = new WebSocket(`ws://127.0.0.1:${wsPort}/`, { perMessageDeflate: deflate })
      const sent = Array.from({ length: 500 }, (_, i) => randomBytes(i * 333))
      let got = 0
      c.on('open', () => sent.forEach(m => c.send(m)))
      c.on('message', m => {
        if (sha(m) !== sha(sent[got++])) reject(new Error(`frame ${got - 1} differs`))
        if (got === sent.length) c.close(4321, 'enough')
      })
      c.on('close', (code, reason) => {
        server.close(() => code === 4321 && String(reason) === 'enough' ? resolve() : reject(new Error(`closed with ${code} ${reason}`)))
      })
      c.on('error', reject)
    })
    server.on('connection', s => s.on('message', m => s.send(m)))
  }))
}
test('ws/refused', () => new Promise((resolve, reject) => {
  new WebSocket(url.replace('http', 'ws') + '/status/403').on('open', reject)
    .on('unexpected-response', (q, r) => { assert.equal(r.statusCode, 403); q.destroy(); resolve() }).on('error', () => {})
}))

for (const [name, f] of cases) {
  const late = new Promise((_, no) => setTimeout(no, 10000, new Error('not done within 10 s')).unref())
  try {
    await Promise.race([f(), late])
    console.log(`ok ${name}`)
  } catch (e) {
    console.log(`not ok ${name} ${String(e.stack).replace(/\s+/g, ' ').slice(0, 300)}`)
  }
}
process.exit(0)
