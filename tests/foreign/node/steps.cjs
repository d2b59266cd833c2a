// Runs named steps one after the other; what comes of each is a line of JSON on standard output.
'use strict';

const assert = require('node:assert/strict');
const {credentials} = require('@grpc/grpc-js');

// Every step is tried, whatever came of those before it: `problem` is empty or says what was wrong.
async function run(steps) {
  for (const [step, act] of Object.entries(steps)) {
    let problem = '';
    try {
      await act();
    } catch (error) {
      problem = String(error.stack || error);
    }
    console.log(JSON.stringify({step, problem}));
  }
}

// The code's number with which a call is refused, after its words were compared with `words`.
async function refusal(call, words) {
  try {
    await call();
  } catch (error) {
    if (words !== undefined) {
      assert.match(told(error), words);
    }
    return error.code;
  }
  assert.fail('the call was not refused');
}

// What a refusal says: over gRPC the message has the code before it, over REST there are other details.
function told(error) {
  return typeof error.details === 'string' ? error.details : error.message;
}

// How a generated client is led to a host without TLS, over the transport that the environment names.
function options(host) {
  const [servicePath, port] = host.split(':');
  const transport =
    process.env.TRANSPORT === 'rest'
      ? {fallback: true, protocol: 'http', auth: anonymous()}
      : {sslCreds: credentials.createInsecure()};
  return {servicePath, port: Number(port), ...transport};
}

// What the REST transport asks of google-auth-library: nobody, without looking for a metadata server.
function anonymous() {
  return {
    getClient: async () => ({}),
    getRequestHeaders: async () => new Headers(),
    getUniverseDomain: async () => 'googleapis.com',
    fetch: (url, init) => fetch(url, init),
    request: async () => assert.fail('nothing is to be asked of Google'),
  };
}

const Code = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
};

module.exports = {assert, run, refusal, told, options, Code};
