// Node's gRPC client (@grpc/grpc-js) against the box of test/grpc.
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

const [target, proto] = process.argv.slice(2)
const { TestService } = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true })).grpc.testing
const large = 10 << 20
const options = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.use_local_subchannel_pool': 1 }
const open = more => new TestService(target, grpc.credentials.createInsecure(), { ...options, ...more })
const client = open()
const body = n => ({ body: Buffer.alloc(n, 'x') })
const cases = []
const test = (name, f) => cases.push([name, f])

// unary answers {answer, header, trailer} or throws the error, which has code, details and metadata.
const unary = (request, { metadata = new grpc.Metadata(), from = client, method = 'UnaryCall', ...o } = {}) => new Promise((resolve, reject) => {
  const got = {}
  const finish = () => { if (got.answer && got.trailer) resolve(got) }
  from[method](request, metadata, o, (e, answer) => { if (e) reject(e); got.answer = answer; finish() })
    .on('metadata', m => { got.header = m })
    .on('status', s => { got.trailer = s.metadata; finish() })
})
const all = stream => new Promise((resolve, reject) => {
  const got = []
  stream.on('data', m => got.push(m)).on('error', reject).on('end', () => resolve(got))
})
const fails = async (promise, ...codes) => {
  const e = await promise.then(() => assert.fail('no error'), e => e)
  assert.ok(codes.includes(e.code), String(e.stack))
  return e
}
const soon = ms => ({ deadline: Date.now() + ms })

test('unary', async () => assert.equal((await unary({ response_size: 1000, payload: body(1000) })).answer.payload.body.length, 1000))
test('empty', async () => { await unary({}, { method: 'EmptyCall' }) })
test('large-messages', async () => assert.equal((await unary({ response_size: large, payload: body(large) })).answer.payload.body.length, large))
test('parallel', async () => {
  await Promise.all(Array.from({ length: 500 }, async (_, i) => assert.equal((await unary({ response_size: i + 1 })).answer.payload.body.length, i + 1)))
})
test('status', async () => {
  const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'
  assert.equal((await fails(unary({ response_status: { code: 10, message } }), grpc.status.ABORTED)).details, message)
})
test('unimplemented', () => fails(unary({}, { method: 'UnimplementedCall' }), grpc.status.UNIMPLEMENTED))
test('metadata', async () => {
  const metadata = new grpc.Metadata()
  metadata.set('x-grpc-test-echo-initial', 'an initial value')
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([0, 1, 0xab, 0xff]))
  const got = await unary({ response_size: 1 }, { metadata })
  assert.deepEqual(got.header.get('x-grpc-test-echo-initial'), ['an initial value'])
  assert.deepEqual(got.trailer.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0, 1, 0xab, 0xff])])
})
test('large-metadata', async () => {
  const metadata = new grpc.Metadata()
  metadata.set('x-grpc-test-echo-initial', 'y'.repeat(6000))
  assert.equal((await unary({}, { metadata })).header.get('x-grpc-test-echo-initial')[0].length, 6000)
})
test('server-streaming', async () => {
  const got = await all(client.StreamingOutputCall({ response_parameters: [1, 100, 100000, 1].map(size => ({ size })) }))
  assert.deepEqual(got.map(m => m.payload.body.length), [1, 100, 100000, 1])
})
test('client-streaming', () => new Promise((resolve, reject) => {
  const call = client.StreamingInputCall((e, r) => e ? reject(e) : resolve(assert.equal(r.aggregated_payload_size, 100 * 50000)))
  for (let i = 0; i < 100; i++) call.write({ payload: body(50000) })
  call.end()
}))
test('bidirectional', () => new Promise((resolve, reject) => {
  const call = client.FullDuplexCall()
  let n = 0
  const ping = () => call.write({ response_parameters: [{ size: 1000 + n }], payload: body(10) })
  call.on('data', m => {
    assert.equal(m.payload.body.length, 1000 + n++)
    n === 200 ? call.end() : ping()
  }).on('error', reject).on('end', () => resolve(assert.equal(n, 200)))
  ping()
}))
test('bidirectional-empty', async () => {
  const call = client.FullDuplexCall()
  call.end()
  assert.equal((await all(call)).length, 0)
})
test('stream-ends-with-status', async () => {
  const call = client.FullDuplexCall()
  call.write({ response_status: { code: 5, message: 'none' } })
  assert.equal((await fails(all(call), grpc.status.NOT_FOUND)).details, 'none')
})
test('deadline', async () => {
  const began = Date.now()
  await fails(all(client.StreamingOutputCall({ response_parameters: [{ size: 1, interval_us: 5e6 }] }, soon(200))),
    grpc.status.DEADLINE_EXCEEDED, grpc.status.CANCELLED) // the latter when the server's clock is the first to end it
  assert.ok(Date.now() - began < 3000)
})
test('deadline-kept', async () => {
  assert.equal((await all(client.StreamingOutputCall({ response_parameters: [{ size: 1, interval_us: 2e5 }] }, soon(5000)))).length, 1)
})
test('cancel-at-once', async () => {
  const call = client.StreamingOutputCall({ response_parameters: [{ size: 1, interval_us: 5e6 }] })
  const done = fails(all(call), grpc.status.CANCELLED)
  call.cancel()
  await done
})
test('cancel-after-first', async () => {
  const call = client.FullDuplexCall()
  const done = fails(all(call), grpc.status.CANCELLED)
  call.once('data', () => call.cancel())
  call.write({ response_parameters: [{ size: 10 }] })
  await done
})
test('cancel-many', async () => {
  await Promise.all(Array.from({ length: 100 }, async () => {
    const call = client.FullDuplexCall()
    const done = fails(all(call), grpc.status.CANCELLED)
    call.once('data', () => call.cancel())
    call.write({ response_parameters: [{ size: 10 }] })
    await done
  }))
  await unary({})
})
test('compressed', async () => {
  const c = open({ 'grpc.default_compression_algorithm': 2 })
  assert.equal((await unary({ response_size: 100000, payload: body(100000) }, { from: c })).answer.payload.body.length, 100000)
  c.close()
})
test('keepalive-pings', async () => {
  const c = open({ 'grpc.keepalive_time_ms': 400, 'grpc.keepalive_timeout_ms': 300, 'grpc.keepalive_permit_without_calls': 1 })
  const got = await all(c.StreamingOutputCall({ response_parameters: [{ size: 1 }, { size: 2, interval_us: 4e6 }] }))
  assert.equal(got.length, 2)
  await sleep(1500)
  await unary({}, { from: c })
  c.close()
})
test('slow-reader', async () => {
  const call = client.StreamingOutputCall({ response_parameters: Array.from({ length: 64 }, () => ({ size: 1 << 18 })) })
  let n = 0
  for await (const m of call) {
    n += m.payload.body.length
    if (n < 1 << 20) await sleep(50)
  }
  assert.equal(n, 64 << 18)
})
test('health', () => new Promise((resolve, reject) => {
  client.makeUnaryRequest('/grpc.health.v1.Health/Check', b => b, b => b, Buffer.alloc(0), (e, b) => e ? reject(e) : resolve(assert.deepEqual([...b], [8, 1])))
}))
test('channel-opened-anew', async () => {
  for (let i = 0; i < 20; i++) {
    const c = open()
    await unary({}, { from: c })
    c.close()
  }
})

for (const [name, f] of cases) {
  const late = new Promise((_, no) => setTimeout(no, 15000, new Error('not done within 15 s')).unref())
  try {
    await Promise.race([f(), late])
    console.log(`ok ${name}`)
  } catch (e) {
    console.log(`not ok ${name} ${String(e.stack).replace(/\s+/g, ' ').slice(0, 300)}`)
  }
}
process.exit(0)
